#include "supervise/store.h"

#include <array>
#include <mutex>

#include "base/log.h"
#include "serve/sqlite.h"

namespace tutti {

namespace {

// Each brings a file from its place in this list to the next one; never changed, only added to.
constexpr std::array<const char*, 2> kSteps{
    "CREATE TABLE launches(uid TEXT PRIMARY KEY, spec TEXT NOT NULL, created INTEGER NOT NULL);"
    "CREATE TABLE events(id INTEGER PRIMARY KEY, uid TEXT NOT NULL, time INTEGER NOT NULL,"
    " kind TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE INDEX events_of ON events(uid, id);",
    "CREATE TABLE keys(name TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL,"
    " requests INTEGER NOT NULL, tokens INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " created INTEGER NOT NULL);",
};

}  // namespace

struct Store::Impl {
  std::string path;
  sqlite::Database database;
  std::mutex mutable mutex;

  Status run(const char* sql) const {
    return sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK
               ? ok_status()
               : sqlite::failure(database.get(), path);
  }

  Status finish(sqlite::Statement& statement) const {
    return statement.step() == SQLITE_DONE ? ok_status() : sqlite::failure(database.get(), path);
  }

  Result<int64_t> stored_version() const;
  Status migrate() const;
};

Result<int64_t> Store::Impl::stored_version() const {
  sqlite::Statement asked(database.get(), "PRAGMA user_version");
  if (asked.step() != SQLITE_ROW) {
    return sqlite::failure(database.get(), path);
  }
  return asked.number(0);
}

// What is there is brought up to date as a whole, or stays as it was.
Status Store::Impl::migrate() const {
  TUTTI_RETURN_IF_ERROR(run("BEGIN EXCLUSIVE"));
  TUTTI_TRY(const int64_t found, stored_version());
  if (found < 0 || found > version()) {
    (void)run("ROLLBACK");
    return error(StatusCode::kUnsupported,
                 "{} was written by a newer version of tutti (its format is {}, this one knows up "
                 "to {}); use that version, or another file with ‹state›",
                 path,
                 found,
                 version());
  }
  for (auto step = static_cast<size_t>(found); step < kSteps.size(); ++step) {
    if (const Status status = run(kSteps[step]); !status.ok()) {
      (void)run("ROLLBACK");
      return status;
    }
  }
  TUTTI_RETURN_IF_ERROR(run(fmt::format("PRAGMA user_version = {}", version()).c_str()));
  return run("COMMIT");
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Store::~Store() = default;

int Store::version() {
  return static_cast<int>(kSteps.size());
}

Result<std::unique_ptr<Store>> Store::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path.empty() ? ":memory:" : path;
  if (!path.empty()) {
    TUTTI_RETURN_IF_ERROR(sqlite::make_private_file(path));
  }
  TUTTI_RETURN_IF_ERROR(sqlite::open(impl->path, impl->database));
  // For as long as this process lives: two servers that restore the same launches are one too many.
  TUTTI_RETURN_IF_ERROR(impl->run("PRAGMA locking_mode = EXCLUSIVE"));
  TUTTI_RETURN_IF_ERROR(impl->run("PRAGMA synchronous = FULL"));
  TUTTI_RETURN_IF_ERROR(impl->migrate());
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Status Store::put(const StoredLaunch& launch) {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(impl_->database.get(),
                              "INSERT INTO launches(uid, spec, created) VALUES(?, ?, ?)"
                              " ON CONFLICT(uid) DO UPDATE SET spec = excluded.spec");
  statement.with(1, launch.uid).with(2, launch.spec).with(3, launch.created_unix);
  return impl_->finish(statement);
}

Status Store::remove(const std::string& uid) {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(impl_->database.get(), "DELETE FROM launches WHERE uid = ?");
  return impl_->finish(statement.with(1, uid));
}

Result<std::vector<StoredLaunch>> Store::launches() const {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(impl_->database.get(),
                              "SELECT uid, spec, created FROM launches ORDER BY rowid");
  std::vector<StoredLaunch> out;
  int code = statement.step();
  for (; code == SQLITE_ROW; code = statement.step()) {
    out.push_back(
        {.uid = statement.text(0), .spec = statement.text(1), .created_unix = statement.number(2)});
  }
  if (code != SQLITE_DONE) {
    return sqlite::failure(impl_->database.get(), impl_->path);
  }
  return out;
}

Status Store::put_key(const StoredKey& key) {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(
      impl_->database.get(),
      "INSERT OR REPLACE INTO keys(name, digest, scopes, requests, tokens, expires,"
      " created) VALUES(?, ?, ?, ?, ?, ?, ?)");
  statement.with(1, key.name).with(2, key.digest).with(3, key.scopes);
  statement.with(4, key.requests_per_minute).with(5, key.tokens_per_minute);
  statement.with(6, key.expires_unix).with(7, key.created_unix);
  return impl_->finish(statement);
}

Status Store::remove_key(const std::string& name) {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(impl_->database.get(), "DELETE FROM keys WHERE name = ?");
  return impl_->finish(statement.with(1, name));
}

Result<std::vector<StoredKey>> Store::keys() const {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(
      impl_->database.get(),
      "SELECT name, digest, scopes, requests, tokens, expires, created FROM keys"
      " ORDER BY name");
  std::vector<StoredKey> out;
  int code = statement.step();
  for (; code == SQLITE_ROW; code = statement.step()) {
    out.push_back({.name = statement.text(0),
                   .digest = statement.text(1),
                   .scopes = statement.text(2),
                   .requests_per_minute = statement.number(3),
                   .tokens_per_minute = statement.number(4),
                   .expires_unix = statement.number(5),
                   .created_unix = statement.number(6)});
  }
  if (code != SQLITE_DONE) {
    return sqlite::failure(impl_->database.get(), impl_->path);
  }
  return out;
}

void Store::add_event(const std::string& uid, const LaunchEvent& event) {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement add(impl_->database.get(),
                        "INSERT INTO events(uid, time, kind, text) VALUES(?, ?, ?, ?)");
  add.with(1, uid).with(2, event.time_unix).with(3, event.kind).with(4, event.text);
  Status status = impl_->finish(add);
  if (status.ok()) {
    sqlite::Statement drop(impl_->database.get(),
                           "DELETE FROM events WHERE uid = ?1 AND id <= (SELECT id FROM events"
                           " WHERE uid = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)");
    status = impl_->finish(drop.with(1, uid).with(2, int64_t{kEvents}));
  }
  if (!status.ok()) {
    log_warn("an event of {} is not kept: {}", uid, status.message());
  }
}

Result<std::vector<LaunchEvent>> Store::events(const std::string& uid) const {
  const std::lock_guard lock(impl_->mutex);
  sqlite::Statement statement(impl_->database.get(),
                              "SELECT time, kind, text FROM events WHERE uid = ? ORDER BY id");
  statement.with(1, uid);
  std::vector<LaunchEvent> out;
  int code = statement.step();
  for (; code == SQLITE_ROW; code = statement.step()) {
    out.push_back(
        {.time_unix = statement.number(0), .kind = statement.text(1), .text = statement.text(2)});
  }
  if (code != SQLITE_DONE) {
    return sqlite::failure(impl_->database.get(), impl_->path);
  }
  return out;
}

}  // namespace tutti
