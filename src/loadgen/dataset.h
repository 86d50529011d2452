// Prompts from a file.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace tutti::loadgen {

struct DatasetEntry {
  std::string prompt;
  Json messages;                         ///< an array for a chat; null: `prompt` is all there is
  std::optional<int64_t> output_tokens;  ///< the file's own length of the answer
};

/// A .jsonl file has one JSON object per line, a .json file one array of them, any other file one
/// prompt per line. Objects: {"prompt": text[, "output_tokens" or "max_tokens": n]},
/// {"messages": [...]} or ShareGPT's {"conversations": [{"from": "human", "value": text}, ...]}, of
/// which the first human turn is taken. Entries without a prompt are skipped; a file without any
/// is an error.
Result<std::vector<DatasetEntry>> read_dataset(const std::string& path);

}  // namespace tutti::loadgen
