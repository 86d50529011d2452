// SQLite's handles as values that free themselves.
#pragma once
#include <cerrno>
#include <memory>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

namespace tutti::sqlite {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};

struct EndStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

inline Status failure(sqlite3* database, const std::string& path) {
  const int code = sqlite3_errcode(database);
  const char* text = sqlite3_errmsg(database);
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return error(StatusCode::kUnavailable,
                   "{} is in use by another server; give this one a file of its own with ‹state›",
                   path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return error(StatusCode::kCorrupt,
                   "{}: {}; move the file away to begin with an empty one",
                   path,
                   text);
    default:
      return error(StatusCode::kUnavailable, "{}: {}", path, text);
  }
}

/// One prepared statement, with its parameters from 1.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    sqlite3_stmt* made = nullptr;
    sqlite3_prepare_v2(database, sql, -1, &made, nullptr);
    statement_.reset(made);
  }

  Statement& with(int index, const std::string& text) {
    sqlite3_bind_text(
        statement_.get(), index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }

  Statement& with(int index, int64_t number) {
    sqlite3_bind_int64(statement_.get(), index, number);
    return *this;
  }

  /// SQLITE_ROW, SQLITE_DONE or an error.
  int step() { return statement_ == nullptr ? SQLITE_ERROR : sqlite3_step(statement_.get()); }

  std::string text(int column) const {
    const auto* bytes = sqlite3_column_text(statement_.get(), column);
    const int size = sqlite3_column_bytes(statement_.get(), column);
    return bytes == nullptr
               ? ""
               : std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }

  int64_t number(int column) const { return sqlite3_column_int64(statement_.get(), column); }

 private:
  std::unique_ptr<sqlite3_stmt, EndStatement> statement_;
};

using Database = std::unique_ptr<sqlite3, CloseDatabase>;

/// Makes the file (mode 0600) unless it is there, so that it is never open to others.
inline Status make_private_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return error(StatusCode::kUnavailable,
                 "cannot open {} ({}); give another file with ‹state›",
                 path,
                 std::generic_category().message(errno));
  }
  ::close(fd);
  return ok_status();
}

inline Status open(const std::string& path, Database& out) {
  sqlite3* made = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &made, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
  out.reset(made);
  return code == SQLITE_OK ? ok_status() : failure(made, path);
}

}  // namespace tutti::sqlite
