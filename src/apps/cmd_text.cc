// tutti tokenize, detokenize, template: the text side of a model without its weights.
#include <chrono>
#include <iostream>

#include "apps/common.h"
#include "base/file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tutti {

namespace {

// Lines end at '\n' and nothing else; a final one does not begin another line.
std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return lines;
}

Result<std::string> json_string(std::string_view line) {
  TUTTI_TRY(const Json json, parse_json(line));
  if (!json.is_string()) {
    return invalid("is {}, wanted a JSON string", json.type_name());
  }
  return json.as_string();
}

Result<std::string> tokenize_line(const Tokenizer& tokenizer,
                                  std::string_view line,
                                  const TokenizeOptions& options) {
  std::string text(line);
  if (options.jsonl) {
    TUTTI_TRY(text, json_string(line));
  }
  TUTTI_TRY(
      const std::vector<int32_t> ids,
      tokenizer.encode(
          text, {.add_special_tokens = !options.no_bos, .parse_special = true, .threads = 0}));
  return fmt::format("{}", fmt::join(ids, " "));
}

Result<std::vector<int32_t>> parse_ids(std::string_view line) {
  std::vector<int32_t> ids;
  size_t i = 0;
  while (i < line.size()) {
    if (line[i] == ' ' || line[i] == ',' || line[i] == '\t' || line[i] == '\r') {
      ++i;
      continue;
    }
    int64_t value = 0;
    const size_t begin = i;
    while (i < line.size() && line[i] >= '0' && line[i] <= '9' && value <= INT32_MAX) {
      value = value * 10 + (line[i++] - '0');
    }
    if (i == begin || value > INT32_MAX) {
      return invalid("byte {} is no token id", i);
    }
    ids.push_back(static_cast<int32_t>(value));
  }
  return ids;
}

bool starts_with(std::span<const int32_t> ids, std::span<const int32_t> prefix) {
  return ids.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
}

Result<std::string> detokenize_line(const Tokenizer& tokenizer,
                                    std::string_view line,
                                    const TokenizeOptions& options) {
  TUTTI_TRY(const std::vector<int32_t> all, parse_ids(line));
  std::span<const int32_t> ids = all;
  if (!options.no_bos) {  // what tokenize added
    if (starts_with(ids, tokenizer.prefix_ids())) {
      ids = ids.subspan(tokenizer.prefix_ids().size());
    }
    const std::span<const int32_t> suffix = tokenizer.suffix_ids();
    if (ids.size() >= suffix.size() && starts_with(ids.last(suffix.size()), suffix)) {
      ids = ids.first(ids.size() - suffix.size());
    }
  }
  TUTTI_TRY(std::string text, tokenizer.decode_checked(ids, options.skip_special));
  if (!options.jsonl) {
    return text;
  }
  std::string quoted;
  append_json_string(quoted, text);
  return quoted;
}

using LineFunction = Result<std::string> (*)(const Tokenizer&,
                                             std::string_view,
                                             const TokenizeOptions&);

Status each_line(const TokenizeOptions& options, LineFunction convert) {
  TUTTI_TRY(const std::string directory, find_model(options.model, read_environment()));
  TUTTI_TRY(const std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::load(directory));
  TUTTI_TRY(const std::string text, read_input(options.file));
  const std::vector<std::string_view> lines = split_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    Result<std::string> out = convert(*tokenizer, lines[i], options);
    if (!out.ok()) {
      return std::move(out).status().with_context(
          fmt::format("{}: line {}", input_name(options.file), i + 1));
    }
    std::cout << *out << '\n';
  }
  std::cout.flush();
  return std::cout ? ok_status() : error(StatusCode::kUnavailable, "standard output: write failed");
}

Status render(const TemplateOptions& options) {
  TUTTI_TRY(const std::string directory, find_model(options.model, read_environment()));
  TUTTI_TRY(const std::shared_ptr<const ChatTemplate> chat_template, ChatTemplate::load(directory));
  ChatTemplateInput input;
  TUTTI_TRY(input.messages, parse_json_input(options.messages));
  Json tools;
  if (!options.tools.empty()) {
    TUTTI_TRY(tools, parse_json_input(options.tools));
    input.tools = &tools;
  }
  if (!options.kwargs.empty()) {
    TUTTI_TRY(Json kwargs, parse_json_input(options.kwargs));
    if (!kwargs.is_object()) {
      return invalid("{}: is {}, wanted an object", input_name(options.kwargs), kwargs.type_name());
    }
    input.kwargs = std::move(kwargs.as_object());
  }
  input.add_generation_prompt = !options.no_generation_prompt;
  input.now_unix = std::chrono::duration_cast<std::chrono::seconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  TUTTI_TRY(const RenderedPrompt prompt, chat_template->render(input));
  std::cout << prompt.joined() << std::flush;
  return std::cout ? ok_status() : error(StatusCode::kUnavailable, "standard output: write failed");
}

int exit_code(const Status& status) {
  return status.ok() ? 0 : fail(status);
}

}  // namespace

int tokenize_command(const TokenizeOptions& options) {
  return exit_code(each_line(options, &tokenize_line));
}

int detokenize_command(const TokenizeOptions& options) {
  return exit_code(each_line(options, &detokenize_line));
}

int template_command(const TemplateOptions& options) {
  return exit_code(render(options));
}

}  // namespace tutti
