// A Hugging Face checkpoint directory: one model.safetensors, or shards named by
// model.safetensors.index.json (what else is found: checkpoint_files.h). Only safetensors is read;
// pickled files are refused by name.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "loader/safetensors.h"
#include "loader/tensor_source.h"

namespace tutti {

class Checkpoint final : public TensorSource {
 public:
  /// kNotFound: no such directory, no or not all of its files. kUnsupported: only pickled ones.
  /// kCorrupt: headers or index are wrong.
  static Result<std::unique_ptr<Checkpoint>> open(const std::string& directory);

  const std::string& path() const override { return directory_; }

  const TensorInfo* find(std::string_view name) const override;

  const std::vector<std::string>& names() const override { return names_; }

  Status read(const TensorInfo& tensor, int64_t begin, int64_t bytes, std::byte* to) const override;
  Status read_strided(const TensorInfo& tensor,
                      int64_t begin,
                      int64_t run,
                      int64_t stride,
                      int64_t count,
                      std::byte* to) const override;
  void read_ahead(const TensorInfo& tensor, int64_t begin, int64_t bytes) const override;

 private:
  struct StoredTensor : TensorInfo {
    const SafetensorsFile* in = nullptr;
    int64_t offset = 0;  // from the start of the file
  };

  static const StoredTensor& stored(const TensorInfo& tensor) {
    return static_cast<const StoredTensor&>(tensor);  // find() makes no others
  }

  Status open_index(const std::string& path);
  Status add_file(const std::string& path);

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, StoredTensor> tensors_;
};

}  // namespace tutti
