#include "serve/response_store.h"

#include <filesystem>

#include "base/log.h"
#include "base/wall_clock.h"
#include "serve/sqlite.h"

namespace tutti {

namespace {

constexpr std::chrono::hours kTidied{1};
constexpr int kBusyMilliseconds = 1000;

// Several processes write. A write is one append to the log; moving the log into the file, which
// waits for the disk, is left to tidy().
constexpr const char* kBegin =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA wal_autocheckpoint = 0;"
    "CREATE TABLE IF NOT EXISTS responses(id TEXT PRIMARY KEY, owner TEXT NOT NULL,"
    " previous TEXT NOT NULL, response TEXT NOT NULL, input TEXT NOT NULL,"
    " created INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS responses_by_age ON responses(created);"
    "CREATE TABLE IF NOT EXISTS items(id TEXT PRIMARY KEY, response TEXT NOT NULL"
    " REFERENCES responses(id) ON DELETE CASCADE, item TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS items_of ON items(response);"
    "PRAGMA foreign_keys = ON;";

Status no_such_response(const std::string& id) {
  return error(StatusCode::kNotFound,
               "response \"{}\" is not stored here, or another key made it",
               id.substr(0, 80));
}

int64_t oldest_kept(int64_t now_unix) {
  return now_unix - std::chrono::duration_cast<std::chrono::seconds>(ResponseStore::kKept).count();
}

}  // namespace

struct ResponseStore::Impl {
  explicit Impl(std::string file) : path(std::move(file)) {}

  const std::string path;
  sqlite::Database database;  // nullptr: not opened yet
  std::mutex mutex;

  // With the mutex held. kNotFound: it is not there and was not to be made.
  Status open(bool make);

  Status run(const char* sql) const {
    return sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK
               ? ok_status()
               : sqlite::failure(database.get(), path);
  }

  Status finish(sqlite::Statement& statement) const {
    return statement.step() == SQLITE_DONE ? ok_status() : sqlite::failure(database.get(), path);
  }
};

Status ResponseStore::Impl::open(bool make) {
  if (database != nullptr) {
    return ok_status();
  }
  const std::filesystem::path file(path);
  std::error_code ec;
  if (!make && !std::filesystem::exists(file, ec)) {
    return Status(StatusCode::kNotFound, "no response is stored here");
  }
  mkdir(file.parent_path().c_str(), S_IRWXU);  // whether it is there shows when the file is made
  TUTTI_RETURN_IF_ERROR(sqlite::make_private_file(path));
  sqlite::Database opened;
  TUTTI_RETURN_IF_ERROR(sqlite::open(path, opened));
  sqlite3_busy_timeout(opened.get(), kBusyMilliseconds);
  if (sqlite3_exec(opened.get(), kBegin, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return sqlite::failure(opened.get(), path);
  }
  database = std::move(opened);
  return ok_status();
}

ResponseStore::ResponseStore(const std::string& path)
    : impl_(std::make_unique<Impl>(path)), tidier_([this] { tidy(); }) {}

Status ResponseStore::prepare() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->open(true);
}

ResponseStore::~ResponseStore() {
  {
    const std::lock_guard lock(ending_mutex_);
    ending_ = true;
  }
  ending_changed_.notify_all();
  tidier_.join();
}

Status ResponseStore::put(const StoredResponse& response) {
  const std::lock_guard lock(impl_->mutex);
  TUTTI_RETURN_IF_ERROR(impl_->open(true));
  sqlite::Statement statement(impl_->database.get(),
                              "INSERT INTO responses(id, owner, previous, response, input, created)"
                              " VALUES(?, ?, ?, ?, ?, ?)");
  statement.with(1, response.id).with(2, response.owner).with(3, response.previous);
  statement.with(4, response.response).with(5, response.input).with(6, response.created_unix);
  TUTTI_RETURN_IF_ERROR(impl_->run("BEGIN"));
  Status status = impl_->finish(statement);
  for (const StoredResponse::Item& item : response.items) {
    if (status.ok()) {
      sqlite::Statement add(impl_->database.get(),
                            "INSERT INTO items(id, response, item) VALUES(?, ?, ?)");
      status = impl_->finish(add.with(1, item.id).with(2, response.id).with(3, item.json));
    }
  }
  const Status ended = impl_->run(status.ok() ? "COMMIT" : "ROLLBACK");
  return status.ok() ? ended : status;
}

Result<std::string> ResponseStore::find_item(const std::string& id,
                                             const std::string& owner) const {
  const std::lock_guard lock(impl_->mutex);
  TUTTI_RETURN_IF_ERROR(impl_->open(false));
  sqlite::Statement statement(impl_->database.get(),
                              "SELECT item FROM items JOIN responses"
                              " ON responses.id = items.response"
                              " WHERE items.id = ? AND owner = ? AND created >= ?");
  statement.with(1, id).with(2, owner).with(3, oldest_kept(unix_now()));
  const int code = statement.step();
  if (code == SQLITE_ROW) {
    return statement.text(0);
  }
  return code == SQLITE_DONE ? error(StatusCode::kNotFound,
                                     "item \"{}\" is not stored here, or another key made it",
                                     id.substr(0, 80))
                             : sqlite::failure(impl_->database.get(), impl_->path);
}

Result<StoredResponse> ResponseStore::find(const std::string& id, const std::string& owner) const {
  const std::lock_guard lock(impl_->mutex);
  if (const Status opened = impl_->open(false); !opened.ok()) {
    return opened.code() == StatusCode::kNotFound ? no_such_response(id) : opened;
  }
  sqlite::Statement statement(impl_->database.get(),
                              "SELECT previous, response, input, created FROM responses"
                              " WHERE id = ? AND owner = ? AND created >= ?");
  statement.with(1, id).with(2, owner).with(3, oldest_kept(unix_now()));
  const int code = statement.step();
  if (code == SQLITE_DONE) {
    return no_such_response(id);
  }
  if (code != SQLITE_ROW) {
    return sqlite::failure(impl_->database.get(), impl_->path);
  }
  return StoredResponse{.id = id,
                        .owner = owner,
                        .previous = statement.text(0),
                        .response = statement.text(1),
                        .input = statement.text(2),
                        .created_unix = statement.number(3)};
}

Status ResponseStore::remove(const std::string& id, const std::string& owner) {
  const std::lock_guard lock(impl_->mutex);
  if (const Status opened = impl_->open(false); !opened.ok()) {
    return opened.code() == StatusCode::kNotFound ? no_such_response(id) : opened;
  }
  sqlite::Statement statement(impl_->database.get(),
                              "DELETE FROM responses WHERE id = ? AND owner = ?");
  TUTTI_RETURN_IF_ERROR(impl_->finish(statement.with(1, id).with(2, owner)));
  return sqlite3_changes(impl_->database.get()) > 0 ? ok_status() : no_such_response(id);
}

Status ResponseStore::drop_old(int64_t now_unix) {
  const std::lock_guard lock(impl_->mutex);
  TUTTI_RETURN_IF_ERROR(impl_->open(false));
  sqlite::Statement statement(impl_->database.get(), "DELETE FROM responses WHERE created < ?");
  return impl_->finish(statement.with(1, oldest_kept(now_unix)));
}

// On a thread of its own and, for what waits for the disk, with a connection of its own.
void ResponseStore::tidy() {
  std::unique_lock lock(ending_mutex_);
  while (!ending_) {
    lock.unlock();
    Status status = drop_old(unix_now());
    sqlite::Database own;
    if (status.ok()) {
      status = sqlite::open(impl_->path, own);
    }
    if (status.ok()) {
      sqlite3_wal_checkpoint_v2(own.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
    } else if (status.code() != StatusCode::kNotFound) {
      log_warn("stored responses: {}", status.message());
    }
    own.reset();
    lock.lock();
    ending_changed_.wait_for(lock, kTidied, [this] { return ending_; });
  }
}

}  // namespace tutti
