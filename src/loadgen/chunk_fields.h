// What a load generator wants from an OpenAI reply: read without building a document, since tens of
// thousands of chunks arrive per second.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tutti::loadgen {

/// Of a chunk or a whole reply of /v1/completions or /v1/chat/completions.
struct ChunkFields {
  std::string text;  ///< content, reasoning and completion text of all choices
  bool finished = false;
  std::optional<int64_t> prompt_tokens;
  std::optional<int64_t> cached_tokens;
  std::optional<int64_t> completion_tokens;
  std::optional<std::string> error;  ///< message of an "error" object
};

/// Reusable: keeps its buffers. One thread.
class ChunkReader {
 public:
  ChunkReader();
  ~ChunkReader();
  ChunkReader(const ChunkReader&) = delete;
  ChunkReader& operator=(const ChunkReader&) = delete;

  /// nullptr if `json` is no JSON object; else valid until the next call.
  const ChunkFields* read(std::string_view json);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tutti::loadgen
