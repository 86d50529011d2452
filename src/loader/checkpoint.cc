#include "loader/checkpoint.h"

#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "loader/checkpoint_files.h"

namespace tutti {

namespace {

Status named(const TensorInfo& tensor, Status status) {
  return status.ok() ? ok_status()
                     : std::move(status).with_context(tensor.file + ": " + tensor.name);
}

// A shard must lie in the directory itself: no separators, no "..".
bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> Checkpoint::open(const std::string& directory) {
  if (!is_directory(directory)) {
    return error(StatusCode::kNotFound, "{}: no such directory", directory);
  }
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  checkpoint->directory_ = directory;
  TUTTI_TRY(const CheckpointFiles files, find_checkpoint_files(directory));
  if (!files.index.empty()) {
    TUTTI_RETURN_IF_ERROR(checkpoint->open_index(files.index));
  }
  for (const std::string& path : files.weights) {
    TUTTI_RETURN_IF_ERROR(checkpoint->add_file(path));
  }
  return checkpoint;
}

Status Checkpoint::add_file(const std::string& path) {
  TUTTI_RETURN_IF_ERROR(check_weight_file(path));
  TUTTI_TRY(std::unique_ptr<SafetensorsFile> file, SafetensorsFile::open(path));
  for (const SafetensorsEntry& entry : file->entries()) {
    const auto [it, inserted] = tensors_.try_emplace(
        entry.name,
        StoredTensor{{entry.name, entry.dtype, entry.dims, path}, file.get(), entry.offset});
    if (!inserted) {
      return error(StatusCode::kCorrupt,
                   "{}: tensor \"{}\" is also in {}",
                   path,
                   entry.name,
                   it->second.file);
    }
    names_.push_back(entry.name);
  }
  files_.push_back(std::move(file));
  return ok_status();
}

Status Checkpoint::open_index(const std::string& path) {
  TUTTI_RETURN_IF_ERROR(check_weight_file(path));
  TUTTI_TRY(const Json index, parse_json_file(path));
  const Json* map = index.find("weight_map");
  if (map == nullptr || !map->is_object()) {
    return error(StatusCode::kCorrupt, "{}: weight_map is missing or not an object", path);
  }
  std::set<std::string> shards;
  for (const JsonMember& m : map->as_object()) {
    if (!m.value.is_string() || !plain_file_name(m.value.as_string())) {
      return error(StatusCode::kCorrupt,
                   "{}: weight_map[\"{}\"] is not a file name in this directory",
                   path,
                   m.key);
    }
    shards.insert(m.value.as_string());
  }
  for (const std::string& shard : shards) {
    const std::string shard_path = join_path(directory_, shard);
    if (!file_exists(shard_path)) {
      return error(StatusCode::kNotFound,
                   "{}: missing shard, named by {} ({} shards in all); download it again into the "
                   "same directory",
                   shard_path,
                   path,
                   shards.size());
    }
    TUTTI_RETURN_IF_ERROR(add_file(shard_path));
  }
  for (const JsonMember& m : map->as_object()) {
    const TensorInfo* tensor = find(m.key);
    if (tensor == nullptr ||
        std::filesystem::path(tensor->file).filename() != m.value.as_string()) {
      return error(StatusCode::kCorrupt,
                   "{}: weight_map puts tensor \"{}\" into {}, which does not hold it",
                   path,
                   m.key,
                   m.value.as_string());
    }
  }
  return ok_status();
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto it = tensors_.find(std::string(name));
  return it == tensors_.end() ? nullptr : &it->second;
}

Status Checkpoint::read(const TensorInfo& tensor,
                        int64_t begin,
                        int64_t bytes,
                        std::byte* to) const {
  const StoredTensor& t = stored(tensor);
  return named(t, t.in->read(t.offset + begin, bytes, to));
}

Status Checkpoint::read_strided(const TensorInfo& tensor,
                                int64_t begin,
                                int64_t run,
                                int64_t stride,
                                int64_t count,
                                std::byte* to) const {
  const StoredTensor& t = stored(tensor);
  return named(t, t.in->read_strided(t.offset + begin, run, stride, count, to));
}

void Checkpoint::read_ahead(const TensorInfo& tensor, int64_t begin, int64_t bytes) const {
  const StoredTensor& t = stored(tensor);
  t.in->read_ahead(t.offset + begin, bytes);
}

}  // namespace tutti
