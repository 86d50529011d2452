#include "text/reasoning.h"

#include <algorithm>

namespace tutti {

namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Length of the longest suffix of `text` that a longer `mark` begins with.
size_t partial_suffix(std::string_view text, std::string_view mark) {
  size_t length = std::min(text.size(), mark.size() - 1);
  while (length > 0 && !starts_with(mark, text.substr(text.size() - length))) {
    --length;
  }
  return length;
}

std::string_view trim_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
}

std::string_view skip(std::string_view text, std::string_view characters) {
  return text.substr(std::min(text.find_first_not_of(characters), text.size()));
}

}  // namespace

bool prompt_opens_reasoning(std::string_view rendered_prompt, const ReasoningMarkup& markup) {
  return trim_end(rendered_prompt).ends_with(markup.open);
}

bool prompt_closes_reasoning(std::string_view rendered_prompt, const ReasoningMarkup& markup) {
  return trim_end(rendered_prompt).ends_with(markup.close);
}

ReasoningSplitter::ReasoningSplitter(ReasoningMarkup markup, bool opened)
    : markup_(std::move(markup)), state_(opened ? State::kOpened : State::kStart) {}

ReasoningPiece ReasoningSplitter::push(std::string_view text) {
  ReasoningPiece out;
  held_.append(text);
  advance(out);
  return out;
}

void ReasoningSplitter::advance(ReasoningPiece& out) {
  if (state_ == State::kStart && !take_start()) {
    return;
  }
  if (state_ == State::kOpened && !take_opened()) {
    return;
  }
  if (state_ == State::kReasoning) {
    take_reasoning(out);
  }
  if (state_ == State::kContentStart) {
    held_ = std::string(skip(held_, "\n"));
    if (held_.empty()) {
      return;
    }
    state_ = State::kContent;
  }
  if (state_ == State::kContent) {
    out.content.append(held_);
    held_.clear();
  }
}

// Decides whether the output opens with reasoning. False: more text is needed.
bool ReasoningSplitter::take_start() {
  const std::string_view text = skip(held_, kWhiteSpace);
  if (starts_with(text, markup_.open)) {
    held_ = std::string(text.substr(markup_.open.size()));
    state_ = State::kOpened;
    saw_mark_ = true;
    return true;
  }
  if (starts_with(text, markup_.close)) {  // a model that does not reason says so
    held_ = std::string(text.substr(markup_.close.size()));
    state_ = State::kContentStart;
    saw_mark_ = true;
    return true;
  }
  if (starts_with(markup_.open, text) || starts_with(markup_.close, text)) {
    return false;
  }
  state_ = State::kContent;
  return true;
}

// Some models repeat the opening mark that the prompt already holds.
bool ReasoningSplitter::take_opened() {
  const std::string_view text = skip(held_, kWhiteSpace);
  if (starts_with(text, markup_.open)) {
    held_ = std::string(text.substr(markup_.open.size()));
  } else if (text.size() < markup_.open.size() && starts_with(markup_.open, text)) {
    return false;
  }
  state_ = State::kReasoning;
  return true;
}

void ReasoningSplitter::take_reasoning(ReasoningPiece& out) {
  size_t found = held_.find(markup_.close);
  size_t after = found + markup_.close.size();
  size_t partial = partial_suffix(held_, markup_.close);
  for (const std::string& mark : markup_.implicit_close) {
    const size_t at = held_.find(mark);
    if (at < found) {
      found = after = at;
    }
    partial = std::max(partial, partial_suffix(held_, mark));
  }
  if (found == std::string::npos) {
    const size_t sure = held_.size() - partial;
    add_reasoning(std::string_view(held_).substr(0, sure), out);
    held_.erase(0, sure);
    return;
  }
  add_reasoning(std::string_view(held_).substr(0, found), out);
  line_ends_ = 0;
  held_.erase(0, after);
  state_ = State::kContentStart;
}

void ReasoningSplitter::add_reasoning(std::string_view text, ReasoningPiece& out) {
  if (!emitted_reasoning_) {
    text = skip(text, "\n");
  }
  const size_t last = text.find_last_not_of('\n');
  if (last == std::string_view::npos) {
    line_ends_ += text.size();
    return;
  }
  out.reasoning.append(line_ends_, '\n');
  out.reasoning.append(text.substr(0, last + 1));
  line_ends_ = text.size() - last - 1;
  emitted_reasoning_ = true;
}

ReasoningPiece ReasoningSplitter::finish() {
  ReasoningPiece out;
  if (in_reasoning()) {
    add_reasoning(held_, out);
  } else if (state_ != State::kContentStart) {
    out.content = held_;
  }
  held_.clear();
  line_ends_ = 0;
  return out;
}

}  // namespace tutti
