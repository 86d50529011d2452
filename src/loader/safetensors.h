// Reads one .safetensors file. The header is hostile input: every size is checked against
// the file before anything is allocated or touched. Format: huggingface.co/docs/safetensors, 8
// bytes little- endian header length, JSON header, tensor data without holes or overlaps. Read by
// pread and not by a mapping: docs/adr/0019-loading-weights.md.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/tensor_view.h"

namespace tutti {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
  int64_t offset = 0;  ///< from the start of the file
  int64_t bytes = 0;
};

class SafetensorsFile {
 public:
  static Result<std::unique_ptr<SafetensorsFile>> open(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }

  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  /// Copies [offset, offset + bytes) of the file. Any thread. kCorrupt, without the name of the
  /// file, if it has become shorter or cannot be read.
  Status read(int64_t offset, int64_t bytes, std::byte* to) const;

  /// Copies `count` runs of `run` bytes, one behind the other; in the file they begin `stride`
  /// bytes apart, the first at `offset`. Errors as of read().
  Status read_strided(
      int64_t offset, int64_t run, int64_t stride, int64_t count, std::byte* to) const;

  /// Tells the kernel that all of [offset, offset + bytes) will be read soon, by this process or by
  /// ranks that share it, unless it is in memory already. Any thread; does not wait for the disk.
  void read_ahead(int64_t offset, int64_t bytes) const;

 private:
  SafetensorsFile() = default;
  Status open_file();
  Status parse_header();

  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
  std::vector<SafetensorsEntry> entries_;
};

}  // namespace tutti
