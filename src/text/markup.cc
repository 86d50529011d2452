#include "text/markup.h"

#include <algorithm>

namespace tutti {

namespace {

// Found by either mark in the chat template.
const std::vector<ReasoningMarkup>& reasoning_table() {
  static const std::vector<ReasoningMarkup> kTable = {
      // DeepSeek-R1 and V3.1, their distilled models, Qwen3, Kimi-K2-Thinking, MiniMax-M2. Only
      // Kimi's vocabulary has the tool section mark. Whether the prompt already opens the reasoning
      // differs between them and is read off the rendered prompt.
      {"<think>", "</think>", {"<|tool_calls_section_begin|>"}},
      {"<seed:think>", "</seed:think>", {}},           // Seed-OSS
      {"[THINK]", "[/THINK]", {}},                     // Magistral
      {"<|START_THINKING|>", "<|END_THINKING|>", {}},  // Command A Reasoning
  };
  return kTable;
}

// The first row of which a template holds all strings is taken.
const std::vector<ToolCallMarkup>& tool_call_table() {
  static const std::vector<ToolCallMarkup> kTable = {
      {.grammar = "minimax_m2",
       .template_has = {"<minimax:tool_call>"},
       .body = CallBody::kElements,
       .section_open = "<minimax:tool_call>",
       .section_close = "</minimax:tool_call>",
       .call_open = "<invoke name=",
       .call_close = "</invoke>",
       .parameter_open = "<parameter name="},
      {.grammar = "kimi_k2",
       .template_has = {"<|tool_calls_section_begin|>"},
       .body = CallBody::kNamed,
       .section_open = "<|tool_calls_section_begin|>",
       .section_close = "<|tool_calls_section_end|>",
       .call_open = "<|tool_call_begin|>",
       .call_close = "<|tool_call_end|>",
       .name_end = "<|tool_call_argument_begin|>",
       .name_is_id = true},
      // DeepSeek-V3, R1, R1-0528 and the distilled models: arguments in a code fence.
      {.grammar = "deepseek_v3",
       .template_has = {"<｜tool▁calls▁begin｜>", "```json"},
       .body = CallBody::kNamed,
       .section_open = "<｜tool▁calls▁begin｜>",
       .section_close = "<｜tool▁calls▁end｜>",
       .call_open = "<｜tool▁call▁begin｜>",
       .call_close = "<｜tool▁call▁end｜>",
       .type_end = "<｜tool▁sep｜>",
       .name_end = "\n```json\n",
       .arguments_end = "\n```"},
      {.grammar = "deepseek_v31",
       .template_has = {"<｜tool▁calls▁begin｜>"},
       .body = CallBody::kNamed,
       .section_open = "<｜tool▁calls▁begin｜>",
       .section_close = "<｜tool▁calls▁end｜>",
       .call_open = "<｜tool▁call▁begin｜>",
       .call_close = "<｜tool▁call▁end｜>",
       .name_end = "<｜tool▁sep｜>"},
      // Qwen3-Coder. Has the mark of the next row too.
      {.grammar = "qwen3_coder",
       .template_has = {"<tool_call>", "<function="},
       .body = CallBody::kElements,
       .section_open = "<tool_call>",
       .section_close = "</tool_call>",
       .call_open = "<function=",
       .call_close = "</function>",
       .parameter_open = "<parameter=",
       .value_lines = true},
      // Qwen2.5, Qwen3 and the Hermes models they took it from.
      {.grammar = "hermes",
       .template_has = {"<tool_call>"},
       .body = CallBody::kObject,
       .call_open = "<tool_call>",
       .call_close = "</tool_call>"},
      {.grammar = "llama3_json",
       .template_has = {"<|start_header_id|>ipython", "\"parameters\": "},
       .body = CallBody::kWhole,
       .call_open = "<|python_tag|>"},
  };
  return kTable;
}

bool mentions(std::string_view source, std::string_view text) {
  return source.find(text) != std::string_view::npos;
}

// Marks of families that no row describes although they share a mark with one (GLM-4.5 and later
// write <arg_key> inside <tool_call>): better no grammar than a wrong one.
constexpr std::string_view kOtherFamilies[] = {"<arg_key>"};

}  // namespace

bool ToolCallMarkup::is_mark(std::string_view text) const {
  const std::string* const marks[] = {
      &section_open, &section_close, &call_open, &call_close, &type_end, &name_end};
  return !text.empty() && std::any_of(std::begin(marks), std::end(marks), [&](const auto* mark) {
    return *mark == text;
  });
}

const ReasoningMarkup* find_reasoning_markup(std::string_view template_source) {
  for (const ReasoningMarkup& row : reasoning_table()) {
    if (mentions(template_source, row.close) || mentions(template_source, row.open)) {
      return &row;
    }
  }
  return nullptr;
}

const ToolCallMarkup* find_tool_call_markup(std::string_view template_source) {
  for (const std::string_view mark : kOtherFamilies) {
    if (mentions(template_source, mark)) {
      return nullptr;
    }
  }
  for (const ToolCallMarkup& row : tool_call_table()) {
    if (std::all_of(row.template_has.begin(), row.template_has.end(), [&](const auto& text) {
          return mentions(template_source, text);
        })) {
      return &row;
    }
  }
  return nullptr;
}

const ToolCallMarkup* tool_call_markup(std::string_view grammar) {
  for (const ToolCallMarkup& row : tool_call_table()) {
    if (row.grammar == grammar) {
      return &row;
    }
  }
  return nullptr;
}

}  // namespace tutti
