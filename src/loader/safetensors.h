// Reads one .safetensors file by mmap. The header is hostile input: every size is checked against
// the file before anything is allocated or touched. Format: huggingface.co/docs/safetensors, 8
// bytes little- endian header length, JSON header, tensor data without holes or overlaps.
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

  const std::byte* data(const SafetensorsEntry& entry) const { return map_ + entry.offset; }

  /// Tells the kernel that [begin, begin + bytes) of the mapping was read and need not stay
  /// resident.
  void drop(const std::byte* begin, int64_t bytes) const;

 private:
  SafetensorsFile() = default;
  Status map_file();
  Status parse_header();

  std::string path_;
  const std::byte* map_ = nullptr;
  int64_t size_ = 0;
  std::vector<SafetensorsEntry> entries_;
};

}  // namespace tutti
