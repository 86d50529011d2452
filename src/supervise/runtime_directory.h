// Where the sockets of engines are: a directory of this process that only its user may enter.
#pragma once
#include <memory>
#include <string>

#include "base/status.h"
#include "supervise/child_process.h"

namespace tutti {

class RuntimeDirectory {
 public:
  /// Makes one below `parent`, after removing those that earlier processes of this user were killed
  /// too suddenly to remove. kUnavailable: the parent cannot be written, or its path is too long
  /// for sockets.
  static Result<std::unique_ptr<RuntimeDirectory>> make(const std::string& parent);
  ~RuntimeDirectory();
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  RuntimeDirectory(std::string path, Descriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  Descriptor lock_;  // as long as it is held, the directory is in use
};

}  // namespace tutti
