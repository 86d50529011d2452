// Which files of a directory hold a model's weights. Names are not always those that the format
// asks for, and files are not always what their names say.
#pragma once
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti {

struct CheckpointFiles {
  std::string index;                 ///< path of the index of the shards; empty: there is none
  std::vector<std::string> weights;  ///< paths, without an index: all tensors of all of them
};

/// model.safetensors.index.json, else model.safetensors, else another index, else numbered shards
/// that are complete (NAME-00001-of-00002.safetensors), else the only other *.safetensors. Errors:
/// kNotFound and kUnsupported name what is there and the next step.
Result<CheckpointFiles> find_checkpoint_files(const std::string& directory);

/// Ok if the file begins as safetensors may. The error says what it is: a pointer of Git LFS, a web
/// page, pickled or GGUF weights, a link to nowhere, empty.
Status check_weight_file(const std::string& path);

}  // namespace tutti
