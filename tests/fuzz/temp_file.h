// A file in memory with a path, for readers that take paths.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace tutti::testing {

class TempFile {
 public:
  TempFile(const uint8_t* data, size_t size) : fd_(memfd_create("fuzz", 0)) {
    if (write(fd_, data, size) != static_cast<ssize_t>(size)) {
      __builtin_trap();
    }
  }

  ~TempFile() { close(fd_); }

  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace tutti::testing
