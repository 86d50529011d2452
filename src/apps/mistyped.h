// What to say of commands and flags that there are not: the nearest one, or what does here what
// that command does in Ollama, vLLM, Xinference and llama.cpp.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace tutti {

/// Message about `typed`, which is none of `commands`. `of`: "" or the command whose subcommands
/// they are, "bench".
std::string unknown_command(std::string_view typed,
                            std::string_view of,
                            std::span<const std::string> commands);

/// Message about `typed` ("--prot=1"), which is none of `flags` ("--port") of `command` ("bench
/// serve").
std::string unknown_flag(std::string_view typed,
                         std::string_view command,
                         std::span<const std::string> flags);

}  // namespace tutti
