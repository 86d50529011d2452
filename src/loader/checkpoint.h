// A Hugging Face checkpoint directory: one model.safetensors, or shards named by
// model.safetensors.index.json. Only safetensors is read; pickled files are refused by name.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "loader/safetensors.h"

namespace tutti {

struct TensorRef {
  const SafetensorsFile* file = nullptr;
  const SafetensorsEntry* entry = nullptr;

  const std::byte* data() const { return file->data(*entry); }
};

class Checkpoint {
 public:
  static Result<std::unique_ptr<Checkpoint>> open(const std::string& directory);

  /// nullptr if the checkpoint has no such tensor.
  const TensorRef* find(std::string_view name) const;

  /// All tensor names, in file order.
  const std::vector<std::string>& names() const { return names_; }

  const std::string& directory() const { return directory_; }

 private:
  Status open_single(const std::string& path);
  Status open_index(const std::string& path);
  Status add_file(const std::string& path);

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorRef> tensors_;
};

}  // namespace tutti
