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

namespace tutti {

struct TensorRef {
  const SafetensorsFile* file = nullptr;
  const SafetensorsEntry* entry = nullptr;

  /// Copies [begin, begin + bytes) of the tensor's data.
  Status read(int64_t begin, int64_t bytes, std::byte* to) const {
    return named(file->read(entry->offset + begin, bytes, to));
  }

  /// Copies `count` runs of `run` bytes that begin `stride` bytes apart, the first at `begin`.
  Status read_strided(
      int64_t begin, int64_t run, int64_t stride, int64_t count, std::byte* to) const {
    return named(file->read_strided(entry->offset + begin, run, stride, count, to));
  }

 private:
  Status named(Status status) const {
    return status.ok() ? ok_status()
                       : std::move(status).with_context(file->path() + ": " + entry->name);
  }
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
  Status open_index(const std::string& path);
  Status add_file(const std::string& path);

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorRef> tensors_;
};

}  // namespace tutti
