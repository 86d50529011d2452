#include "text/tool_calls.h"

#include <algorithm>

namespace tutti {

namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

std::string_view skip_space(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
}

// Length of the longest suffix of `text` that a longer `mark` begins with.
size_t partial_suffix(std::string_view text, std::string_view mark) {
  size_t length = std::min(text.size(), mark.size() - 1);
  while (length > 0 && mark.substr(0, length) != text.substr(text.size() - length)) {
    --length;
  }
  return length;
}

// Bytes before the white space that ends `text`.
size_t without_space(std::string_view text) {
  const size_t last = text.find_last_not_of(kWhiteSpace);
  return last == std::string_view::npos ? 0 : last + 1;
}

}  // namespace

ToolCallParser::ToolCallParser(const ToolCallMarkup& markup, const Json* tools)
    : markup_(markup),
      tools_(tools),
      state_(markup.body == CallBody::kWhole ? State::kWhole : State::kText) {}

ToolCallPiece ToolCallParser::push(std::string_view text) {
  ToolCallPiece out;
  held_.append(text);
  advance(out);
  return out;
}

void ToolCallParser::advance(ToolCallPiece& out) {
  bool more = true;
  while (more) {
    switch (state_) {
      case State::kText:
        more = take_text(out);
        break;
      case State::kSection:
        more = take_section(out);
        break;
      case State::kCall:
        more = take_call(out);
        break;
      case State::kWhole:
        more = begin_whole(out);
        break;
    }
  }
}

void ToolCallParser::add_text(std::string_view text, ToolCallPiece& out) {
  if (after_call_) {
    text = skip_space(text);
  }
  if (!text.empty()) {
    after_call_ = false;
    out.content.append(text);
  }
}

bool ToolCallParser::take_text(ToolCallPiece& out) {
  if (markup_.body == CallBody::kWhole) {  // it did not begin with a call
    add_text(held_, out);
    held_.clear();
    return false;
  }
  const bool sections = !markup_.section_open.empty();
  const std::string& mark = sections ? markup_.section_open : markup_.call_open;
  const size_t found = held_.find(mark);
  const std::string_view text = held_;
  if (found == std::string::npos) {
    const size_t sure = without_space(text.substr(0, text.size() - partial_suffix(text, mark)));
    add_text(text.substr(0, sure), out);
    held_.erase(0, sure);
    return false;
  }
  const size_t end = without_space(text.substr(0, found));
  add_text(text.substr(0, end), out);
  skipped_ = text.substr(end, found + mark.size() - end);
  held_.erase(0, found + mark.size());
  state_ = sections ? State::kSection : State::kCall;
  section_ = calls_;
  return true;
}

// Long arguments arrive in many pieces: what was searched is not searched again.
size_t ToolCallParser::find_mark(const std::string& mark) const {
  return held_.find(mark, searched_ - std::min(searched_, mark.size()));
}

// The mark that ends a call, but not one inside a JSON string: that is data.
size_t ToolCallParser::find_call_close() {
  const std::string& mark = markup_.call_close;
  if (markup_.body == CallBody::kElements) {
    const size_t found = find_mark(mark);
    searched_ = found == std::string::npos ? held_.size() : found;
    return found;
  }
  const std::string_view text = held_;
  while (searched_ < text.size()) {
    const char c = text[searched_];
    if (quoted_ && c == '\\') {
      if (searched_ + 1 == text.size()) {
        break;
      }
      ++searched_;
    } else if (c == '"') {
      quoted_ = !quoted_;
    } else if (!quoted_ && c == mark[0]) {
      const std::string_view here = text.substr(searched_, mark.size());
      if (here == mark) {
        return searched_;
      }
      if (mark.starts_with(here)) {
        break;  // the rest of it may come
      }
    }
    ++searched_;
  }
  return std::string::npos;
}

// Text between calls is no call: it stays content.
bool ToolCallParser::take_section(ToolCallPiece& out) {
  const std::string_view text = held_;
  const size_t open = find_mark(markup_.call_open);
  const size_t close = find_mark(markup_.section_close);
  const size_t found = std::min(open, close);
  if (found == std::string_view::npos) {
    searched_ = held_.size();
    return false;
  }
  searched_ = 0;
  const std::string_view between = text.substr(0, found);
  const size_t end = without_space(between);
  if (end > 0) {
    add_text(skipped_ + std::string(between.substr(0, end)), out);
    skipped_.clear();
  }
  skipped_ += between.substr(end);
  const std::string& mark = open < close ? markup_.call_open : markup_.section_close;
  if (open < close) {
    skipped_ += mark;
    state_ = State::kCall;
  } else {
    end_section(mark, out);
    state_ = State::kText;
  }
  held_.erase(0, found + mark.size());
  return true;
}

// A section without a call was none: `raw` ends it and is text like the rest of it.
void ToolCallParser::end_section(std::string_view raw, ToolCallPiece& out) {
  if (calls_ == section_) {
    add_text(skipped_ + std::string(raw), out);
  } else {
    after_call_ = true;
  }
  skipped_.clear();
}

bool ToolCallParser::take_call(ToolCallPiece& out) {
  const size_t found = find_call_close();
  if (found == std::string::npos) {
    return false;
  }
  searched_ = 0;
  quoted_ = false;
  const size_t end = found + markup_.call_close.size();
  end_call(std::string_view(held_).substr(0, found), std::string_view(held_).substr(0, end), out);
  held_.erase(0, end);
  state_ = markup_.section_open.empty() ? State::kText : State::kSection;
  return true;
}

void ToolCallParser::end_call(std::string_view body, std::string_view raw, ToolCallPiece& out) {
  Result<ToolCall> call = parse_call_body(markup_, body, tools_);
  if (call.ok()) {
    out.calls.push_back(std::move(*call));
    ++calls_;
    after_call_ = true;
  } else {
    add_text(skipped_ + std::string(raw), out);
  }
  skipped_.clear();
}

// An object at the start, perhaps after the opening mark, keeps the whole answer back.
bool ToolCallParser::begin_whole(ToolCallPiece&) {
  const std::string_view text = skip_space(held_);
  const std::string_view mark = markup_.call_open;
  const bool may_be_call =
      text.empty() || text[0] == '{' || text.substr(0, mark.size()) == mark.substr(0, text.size());
  if (may_be_call) {
    return false;
  }
  state_ = State::kText;
  return true;
}

void ToolCallParser::take_whole(ToolCallPiece& out) {
  Result<std::vector<ToolCall>> calls = parse_whole_answer(markup_, held_, tools_);
  if (calls.ok()) {
    calls_ += static_cast<int64_t>(calls->size());
    out.calls = std::move(*calls);
  } else {
    add_text(held_, out);
  }
}

ToolCallPiece ToolCallParser::finish() {
  ToolCallPiece out;
  // A call whose strings do not end hides its closing mark: then the first one counts.
  for (size_t found = 0;
       state_ == State::kCall && (found = held_.find(markup_.call_close)) != std::string::npos;) {
    const size_t end = found + markup_.call_close.size();
    end_call(std::string_view(held_).substr(0, found), std::string_view(held_).substr(0, end), out);
    held_.erase(0, end);
    searched_ = 0;
    quoted_ = false;
    state_ = markup_.section_open.empty() ? State::kText : State::kSection;
    advance(out);
  }
  switch (state_) {
    case State::kText:
      add_text(held_, out);
      break;
    case State::kSection:
      if (calls_ != section_) {  // space at the end is next to a call
        held_.erase(without_space(held_));
      }
      if (calls_ == section_ || !held_.empty()) {
        add_text(skipped_ + held_, out);
      }
      break;
    case State::kCall:
      end_call(held_, held_, out);
      break;
    case State::kWhole:
      take_whole(out);
      break;
  }
  held_.clear();
  skipped_.clear();
  searched_ = 0;
  quoted_ = false;
  state_ = State::kText;
  return out;
}

}  // namespace tutti
