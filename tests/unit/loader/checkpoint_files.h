// Writes small checkpoints, good and bad, into a directory that goes away with the test.
#pragma once
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "tensor/dtype.h"

namespace tutti::testing {

class TempDir {
 public:
  TempDir() {
    std::string path = (std::filesystem::temp_directory_path() / "tutti_test_XXXXXX").string();
    path_ = mkdtemp(path.data());
  }

  ~TempDir() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }

  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

  std::string file(const std::string& name) const { return join_path(path_, name); }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(file(name), std::ios::binary) << content;
  }

 private:
  std::string path_;
};

inline std::string little_endian64(uint64_t value) {
  std::string out;
  for (unsigned i = 0; i < 8; ++i) {
    out += static_cast<char>((value >> (8 * i)) & 0xFFU);
  }
  return out;
}

/// A file with this header text, its true length in front, and `data_bytes` zero bytes.
inline std::string raw_safetensors(const std::string& header, size_t data_bytes) {
  return little_endian64(header.size()) + header + std::string(data_bytes, '\0');
}

struct TestTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> dims;
  std::string bytes;
};

/// `values` stored as F32, F16, BF16 or F8_E4M3.
inline TestTensor make_tensor(const std::string& name,
                              const std::string& dtype,
                              std::vector<int64_t> dims,
                              const std::vector<float>& values) {
  TestTensor tensor{name, dtype, std::move(dims), {}};
  for (const float value : values) {
    char buffer[4];
    size_t size = 0;
    const auto put = [&](auto stored) {
      size = sizeof stored;
      std::memcpy(buffer, &stored, size);
    };
    if (dtype == "F32") {
      put(value);
    } else if (dtype == "F16") {
      put(to_f16(value).bits);
    } else if (dtype == "BF16") {
      put(to_bf16(value).bits);
    } else {
      put(to_f8e4m3(value).bits);
    }
    tensor.bytes.append(buffer, size);
  }
  return tensor;
}

/// A valid file. `padding` spaces follow the header, to move the data to any alignment.
inline std::string safetensors(const std::vector<TestTensor>& tensors, size_t padding = 0) {
  JsonObject header;
  std::string data;
  for (const TestTensor& t : tensors) {
    JsonArray dims;
    for (const int64_t d : t.dims) {
      dims.emplace_back(d);
    }
    const auto begin = static_cast<int64_t>(data.size());
    data += t.bytes;
    header.append(
        t.name,
        Json::object({{"dtype", t.dtype},
                      {"shape", Json(dims)},
                      {"data_offsets",
                       Json::array({Json(begin), Json(static_cast<int64_t>(data.size()))})}}));
  }
  const std::string text = to_string(Json(header)) + std::string(padding, ' ');
  return little_endian64(text.size()) + text + data;
}

}  // namespace tutti::testing
