#include "supervise/runtime_directory.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPrefix = "tutti-";
constexpr const char* kLock = "lock";
constexpr size_t kLongestName = 24;  // of a socket in it

// A lock that goes away with its process, whatever ends that.
bool lock_file(const Descriptor& file) {
  return flock(file.get(), LOCK_EX | LOCK_NB) == 0;
}

bool is_ours(const std::string& path) {
  struct stat about {};

  return lstat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode) && about.st_uid == geteuid();
}

// Only what such a directory holds is removed, and nothing below it.
void remove_directory(const std::string& path) {
  std::error_code ec;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, ec)) {
    files.push_back(entry.path());
  }
  for (const fs::path& file : files) {
    unlink(file.c_str());
  }
  rmdir(path.c_str());
}

void remove_left_over(const std::string& parent) {
  std::error_code ec;
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, ec)) {
    if (entry.path().filename().string().starts_with(kPrefix)) {
      found.push_back(entry.path().string());
    }
  }
  for (const std::string& path : found) {
    if (!is_ours(path)) {
      continue;
    }
    const Descriptor lock(open(join_path(path, kLock).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (lock.open() && lock_file(lock)) {
      remove_directory(path);
    }
  }
}

}  // namespace

Result<std::unique_ptr<RuntimeDirectory>> RuntimeDirectory::make(const std::string& parent) {
  remove_left_over(parent);
  std::string path = join_path(parent, std::string(kPrefix) + "XXXXXX");
  if (path.size() + kLongestName >= sizeof(sockaddr_un::sun_path)) {
    return error(StatusCode::kUnavailable,
                 "{}: the path is too long for sockets in it; set XDG_RUNTIME_DIR to a shorter one",
                 parent);
  }
  if (mkdtemp(path.data()) == nullptr) {  // mode 0700
    return error(StatusCode::kUnavailable,
                 "cannot make a directory in {} ({}); set XDG_RUNTIME_DIR to one that can be "
                 "written",
                 parent,
                 std::generic_category().message(errno));
  }
  Descriptor lock(open(
      join_path(path, kLock).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));

  struct stat about {};

  // Somebody who is just sweeping may have found it before it was locked.
  if (!lock.open() || !lock_file(lock) || fstat(lock.get(), &about) != 0 || about.st_nlink == 0) {
    remove_directory(path);
    return error(StatusCode::kUnavailable, "cannot lock a file in {}; try again", path);
  }
  return std::unique_ptr<RuntimeDirectory>(new RuntimeDirectory(path, std::move(lock)));
}

RuntimeDirectory::~RuntimeDirectory() {
  remove_directory(path_);
}

}  // namespace tutti
