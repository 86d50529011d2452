#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/unicode_regex.h"

#include <algorithm>
#include <array>

#include <pcre2.h>

#include "base/check.h"
#include "base/checked.h"
#include "base/utf8.h"
#include "text/unicode_pattern.h"

namespace tutti {

namespace {

// Backtracking steps per match attempt. A run of n spaces costs the known patterns about n steps.
constexpr size_t kBaseMatchLimit = 10'000'000;
constexpr size_t kMatchLimitPerByte = 100;
constexpr size_t kHeapLimitKib = 256 << 10;
// Start positions tried in one library call. The match limit counts per start position, so a
// quadratic pattern stays within it; short windows let the deadline see such a pattern.
constexpr size_t kWindow = 1024;
// The known patterns take 10 to 25 ms per MiB.
constexpr auto kBaseTime = std::chrono::seconds(5);
constexpr auto kTimePerMib = std::chrono::seconds(2);
constexpr int kCallsPerClockRead = 256;

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  std::string out;
  for (size_t i = 0; buffer[i] != 0; ++i) {
    out += static_cast<char>(buffer[i]);
  }
  return out;
}

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

}  // namespace

struct UnicodeRegex::Code {
  explicit Code(pcre2_code* compiled)
      : handle(compiled), jit(pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0) {
    uint32_t empty = 1;
    pcre2_pattern_info(compiled, PCRE2_INFO_MATCHEMPTY, &empty);
    matches_empty = empty != 0;
  }

  ~Code() { pcre2_code_free(handle); }

  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  pcre2_code* handle;
  bool matches_empty = true;  ///< may match the empty string
  bool jit;                   ///< false where the system forbids writable executable memory
};

Result<UnicodeRegex> UnicodeRegex::compile(std::string_view pattern) {
  TUTTI_TRY(const std::string translated, translate_pattern(pattern));
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  TUTTI_CHECK(context != nullptr);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // '.', '^' and '$' know '\n' only
  int code = 0;
  PCRE2_SIZE offset = 0;
  // Oniguruma's '^' and '$' always match at line ends.
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK |
                                PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  pcre2_code* compiled =
      pcre2_compile(units(translated), translated.size(), kOptions, &code, &offset, context.get());
  if (compiled == nullptr) {
    return error(StatusCode::kUnsupported,
                 "pattern \"{}\": {} (at byte {} of its PCRE2 form)",
                 pattern,
                 pcre2_message(code),
                 offset);
  }
  UnicodeRegex regex;
  regex.pattern_ = pattern;
  regex.code_ = std::make_shared<const Code>(compiled);
  return regex;
}

struct RegexSearch::State {
  explicit State(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)) {
    TUTTI_CHECK(data != nullptr && context != nullptr);
    pcre2_set_heap_limit(context, kHeapLimitKib);
  }

  ~State() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }

  State(const State&) = delete;
  State& operator=(const State&) = delete;

  pcre2_match_data* data;
  pcre2_match_context* context;
};

RegexSearch::RegexSearch(const UnicodeRegex& regex, size_t total_bytes)
    : regex_(regex),
      state_(std::make_unique<State>(regex.code_->handle)),
      deadline_(std::chrono::steady_clock::now() + kBaseTime +
                kTimePerMib * static_cast<int64_t>(total_bytes >> 20)) {
  const size_t limit = kBaseMatchLimit + kMatchLimitPerByte * total_bytes;
  pcre2_set_match_limit(state_->context,
                        static_cast<uint32_t>(std::min<size_t>(limit, UINT32_MAX)));
}

RegexSearch::~RegexSearch() = default;

void RegexSearch::start(std::string_view subject) {
  subject_ = subject;
  from_ = 0;
  last_end_.reset();
}

Status RegexSearch::check_time() {
  if (std::chrono::steady_clock::now() < deadline_) {
    return ok_status();
  }
  return error(StatusCode::kUnsupported,
               "pre-tokenizer pattern \"{}\" takes too long on this text",
               regex_.pattern_);
}

Result<std::optional<TextRange>> RegexSearch::search() {
  const UnicodeRegex::Code& code = *regex_.code_;
  for (size_t begin = from_; begin <= subject_.size();) {
    // The offset limit is the last byte offset at which a match may begin.
    const size_t last = std::min(begin + kWindow, subject_.size());
    pcre2_set_offset_limit(state_->context, last);
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (code.jit) {
      rc = pcre2_jit_match(code.handle,
                           units(subject_),
                           subject_.size(),
                           begin,
                           PCRE2_NO_UTF_CHECK,
                           state_->data,
                           state_->context);
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {  // or no JIT: the interpreter uses bounded heap
      rc = pcre2_match(code.handle,
                       units(subject_),
                       subject_.size(),
                       begin,
                       PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                       state_->data,
                       state_->context);
    }
    if (rc >= 0) {
      const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(state_->data);
      return std::optional<TextRange>(
          TextRange{static_cast<uint32_t>(offsets[0]), static_cast<uint32_t>(offsets[1])});
    }
    if (rc != PCRE2_ERROR_NOMATCH) {
      return error(StatusCode::kUnsupported,
                   "pre-tokenizer pattern \"{}\" fails on a piece of {} bytes: {}",
                   regex_.pattern_,
                   subject_.size(),
                   pcre2_message(rc));
    }
    begin = last + 1;
    while (begin < subject_.size() &&
           (static_cast<unsigned char>(subject_[begin]) & 0xC0) == 0x80) {
      ++begin;
    }
    if (begin <= subject_.size()) {
      TUTTI_RETURN_IF_ERROR(check_time());
    }
  }
  return std::optional<TextRange>();
}

Result<std::optional<TextRange>> RegexSearch::next() {
  const size_t end = subject_.size() + (regex_.code_->matches_empty ? 1 : 0);
  while (from_ < end) {
    if (++calls_ % kCallsPerClockRead == 0) {
      TUTTI_RETURN_IF_ERROR(check_time());
    }
    TUTTI_TRY(const std::optional<TextRange> match, search());
    if (!match) {
      break;
    }
    if (match->begin == match->end && last_end_ == match->end) {
      from_ +=
          from_ < subject_.size() ? static_cast<size_t>(decode_utf8(subject_, from_).length) : 1;
      continue;
    }
    from_ = match->end;
    last_end_ = match->end;
    return match;
  }
  from_ = subject_.size() + 1;
  return std::optional<TextRange>();
}

}  // namespace tutti
