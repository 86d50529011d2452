#include "http/sse_parser.h"

namespace tutti::http {

bool SseParser::feed(std::string_view bytes, const OnEvent& on_event) {
  while (!bytes.empty() && !failed_) {
    if (after_cr_ && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      after_cr_ = false;
      continue;
    }
    after_cr_ = false;
    const size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    if (line_.size() + piece.size() + data_.size() > max_bytes_) {
      failed_ = true;
      break;
    }
    if (end == std::string_view::npos) {
      line_ += piece;
      break;
    }
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (line_.empty()) {
      take_line(piece, on_event);  // the usual case: a whole line at once, nothing copied
    } else {
      line_ += piece;
      take_line(line_, on_event);
      line_.clear();
    }
  }
  return !failed_;
}

void SseParser::take_line(std::string_view line, const OnEvent& on_event) {
  if (first_line_) {
    first_line_ = false;
    if (line.starts_with("\xEF\xBB\xBF")) {
      line.remove_prefix(3);
    }
  }
  if (line.empty()) {
    if (has_data_) {
      on_event(data_);
    }
    data_.clear();
    has_data_ = false;
    return;
  }
  const std::string_view name = line.substr(0, line.find(':'));
  if (name != "data") {
    return;
  }
  std::string_view value = line.substr(name.size());
  if (!value.empty()) {
    value.remove_prefix(1);
  }
  if (value.starts_with(' ')) {
    value.remove_prefix(1);
  }
  if (has_data_) {
    data_ += '\n';
  }
  data_ += value;
  has_data_ = true;
}

void SseParser::reset() {
  line_.clear();
  data_.clear();
  has_data_ = false;
  after_cr_ = false;
  first_line_ = true;
  failed_ = false;
}

}  // namespace tutti::http
