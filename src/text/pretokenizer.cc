#include "text/pretokenizer.h"

#include <array>
#include <optional>
#include <utility>

#include "base/json_fields.h"

namespace tutti {

namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxSteps = 64;

constexpr std::string_view kDigitPattern = R"(\p{N})";
// The reference implementation's Punctuation is that of Unicode 8: ASCII's, and \p{P} without what
// came later and with U+166D and U+111C9, which are symbols today.
constexpr std::string_view kPunctuationPattern =
    R"([!-\/:-@\[-`\{-~\x{166d}\x{111c9}]|(?![)"
    R"(\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b4e}-\x{1b4f}\x{1b7d}-\x{1b7f})"
    R"(\x{2e43}-\x{2e4f}\x{2e52}-\x{2e5d}\x{10d6e}\x{10ead}\x{10ed0})"
    R"(\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{113d4}-\x{113d5}\x{113d7}-\x{113d8})"
    R"(\x{1144b}-\x{1144f}\x{1145a}-\x{1145b}\x{1145d}\x{11660}-\x{1166c}\x{116b9})"
    R"(\x{1183b}\x{11944}-\x{11946}\x{119e2}\x{11a3f}-\x{11a46}\x{11a9a}-\x{11a9c})"
    R"(\x{11a9e}-\x{11aa2}\x{11b00}-\x{11b09}\x{11be1}\x{11c41}-\x{11c45})"
    R"(\x{11c70}-\x{11c71}\x{11ef7}-\x{11ef8}\x{11f43}-\x{11f4f}\x{11fff})"
    R"(\x{12ff1}-\x{12ff2}\x{16d6d}-\x{16d6f}\x{16e97}-\x{16e9a}\x{16fe2}\x{1e5ff})"
    R"(\x{1e95e}-\x{1e95f})"
    R"(])\p{P})";

Result<SplitBehavior> parse_behavior(const std::string& name, const std::string& where) {
  static constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {
      {{"Removed", SplitBehavior::kRemoved},
       {"Isolated", SplitBehavior::kIsolated},
       {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
       {"MergedWithNext", SplitBehavior::kMergedWithNext},
       {"Contiguous", SplitBehavior::kContiguous}}};
  for (const auto& [known, behavior] : kNames) {
    if (name == known) {
      return behavior;
    }
  }
  return error(StatusCode::kUnsupported,
               "{}.behavior: got \"{}\", wanted Removed, Isolated, MergedWithPrevious, "
               "MergedWithNext or Contiguous",
               where,
               name);
}

std::string escape_literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(R"(\^$.[]|()?*+{}-&)").find(c) != std::string_view::npos) {
      out += '\\';
    }
    out += c;
  }
  return out;
}

// One pass over a piece: takes matches and gaps in order, emits pieces by the step's behavior.
class Emitter {
 public:
  Emitter(SplitBehavior behavior, std::vector<TextRange>& out) : behavior_(behavior), out_(out) {}

  void add(TextRange range, bool is_match) {
    const bool joins =
        (behavior_ == SplitBehavior::kMergedWithPrevious && is_match && !last_match_) ||
        (behavior_ == SplitBehavior::kMergedWithNext && !is_match && last_match_) ||
        (behavior_ == SplitBehavior::kContiguous && is_match == last_match_);
    if (joins && pending_) {
      pending_->end = range.end;
    } else if (behavior_ != SplitBehavior::kRemoved || !is_match) {
      flush();
      pending_ = range;
    }
    last_match_ = is_match;
  }

  void flush() {
    if (pending_ && pending_->begin < pending_->end) {
      out_.push_back(*pending_);
    }
    pending_.reset();
  }

 private:
  SplitBehavior behavior_;
  std::vector<TextRange>& out_;
  std::optional<TextRange> pending_;
  bool last_match_ = false;
};

Status split_piece(const SplitStep& step,
                   std::string_view text,
                   TextRange piece,
                   RegexSearch& search,
                   std::vector<TextRange>& out) {
  search.start(text.substr(piece.begin, piece.end - piece.begin));
  Emitter emitter(step.behavior, out);
  uint32_t done = piece.begin;
  while (true) {
    TUTTI_TRY(const std::optional<TextRange> match, search.next());
    if (!match) {
      break;
    }
    const TextRange range = {piece.begin + match->begin, piece.begin + match->end};
    if (range.begin > done) {
      emitter.add({done, range.begin}, step.invert);
    }
    emitter.add(range, !step.invert);
    done = range.end;
  }
  if (done < piece.end) {
    emitter.add({done, piece.end}, step.invert);
  }
  emitter.flush();
  return ok_status();
}

}  // namespace

class PreTokenizer::Parser {
 public:
  explicit Parser(PreTokenizer& out) : out_(out) {}

  Status parse(const Json& json, const std::string& where, int depth) {
    if (!json.is_object() || depth > kMaxDepth) {
      return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
    }
    FieldReader reader(json.as_object(), where);
    const std::string type = reader.required_string("type");
    TUTTI_RETURN_IF_ERROR(reader.status());
    if (type == "Sequence") {
      return parse_sequence(reader, where, depth);
    }
    if (done_) {
      return error(StatusCode::kUnsupported,
                   "{}: type \"{}\" after ByteLevel is not supported; ByteLevel must be the last",
                   where,
                   type);
    }
    if (type == "Split") {
      return parse_split(reader, where);
    }
    if (type == "ByteLevel") {
      return parse_byte_level(reader);
    }
    if (type == "Digits") {
      const bool single = reader.bool_or("individual_digits", false);
      TUTTI_RETURN_IF_ERROR(reader.status());
      const SplitBehavior behavior = single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
      return add_step(out_.before_prefix_, kDigitPattern, behavior, false, where);
    }
    if (type == "Punctuation") {
      const std::string name = reader.string_or("behavior", "Isolated");
      TUTTI_RETURN_IF_ERROR(reader.status());
      TUTTI_TRY(const SplitBehavior behavior, parse_behavior(name, where));
      return add_step(out_.before_prefix_, kPunctuationPattern, behavior, false, where);
    }
    return error(StatusCode::kUnsupported,
                 "{}: pre-tokenizer type \"{}\" is not supported; supported: Sequence, Split, "
                 "Digits, Punctuation, ByteLevel",
                 where,
                 type);
  }

  bool done() const { return done_; }

 private:
  Status parse_sequence(FieldReader& reader, const std::string& where, int depth) {
    const JsonArray* parts = reader.optional_array("pretokenizers");
    TUTTI_RETURN_IF_ERROR(reader.status());
    for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      TUTTI_RETURN_IF_ERROR(
          parse((*parts)[i], fmt::format("{}.pretokenizers[{}]", where, i), depth + 1));
    }
    return ok_status();
  }

  Status parse_split(FieldReader& reader, const std::string& where) {
    const std::string behavior_name = reader.required_string("behavior");
    const bool invert = reader.bool_or("invert", false);
    const JsonObject* pattern = reader.optional_object("pattern");
    TUTTI_RETURN_IF_ERROR(reader.status());
    TUTTI_TRY(const SplitBehavior behavior, parse_behavior(behavior_name, where));
    if (pattern == nullptr) {
      return error(StatusCode::kCorrupt, "{}.pattern: missing", where);
    }
    FieldReader pattern_reader(*pattern, where + ".pattern");
    const std::optional<std::string> regex = pattern_reader.optional_string("Regex");
    const std::optional<std::string> literal = pattern_reader.optional_string("String");
    TUTTI_RETURN_IF_ERROR(pattern_reader.status());
    if (regex.has_value() == literal.has_value()) {
      return error(
          StatusCode::kCorrupt, "{}.pattern: wanted either \"Regex\" or \"String\"", where);
    }
    return add_step(
        out_.before_prefix_, regex ? *regex : escape_literal(*literal), behavior, invert, where);
  }

  Status parse_byte_level(FieldReader& reader) {
    // Defaults of the reference implementation for members an old file lacks.
    out_.add_prefix_space_ = reader.bool_or("add_prefix_space", true);
    const bool use_regex = reader.bool_or("use_regex", true);
    TUTTI_RETURN_IF_ERROR(reader.status());
    done_ = true;
    if (!use_regex) {
      return ok_status();
    }
    return add_step(out_.after_prefix_, kGpt2Pattern, SplitBehavior::kIsolated, false, "ByteLevel");
  }

  Status add_step(std::vector<SplitStep>& steps,
                  std::string_view pattern,
                  SplitBehavior behavior,
                  bool invert,
                  const std::string& where) {
    if (steps.size() >= kMaxSteps) {
      return error(StatusCode::kUnsupported, "{}: more than {} steps", where, kMaxSteps);
    }
    Result<UnicodeRegex> regex = UnicodeRegex::compile(pattern);
    if (!regex.ok()) {
      return std::move(regex).status().with_context(where);
    }
    steps.push_back({*std::move(regex), behavior, invert});
    return ok_status();
  }

  PreTokenizer& out_;
  bool done_ = false;
};

Result<PreTokenizer> PreTokenizer::from_json(const Json* json, const std::string& where) {
  PreTokenizer out;
  Parser parser(out);
  if (json != nullptr && !json->is_null()) {
    TUTTI_RETURN_IF_ERROR(parser.parse(*json, where, 0));
  }
  out.byte_level_ = parser.done();
  if (!out.add_prefix_space_) {
    std::vector<SplitStep> steps = out.before_prefix_;
    steps.insert(steps.end(), out.after_prefix_.begin(), out.after_prefix_.end());
    out.known_ = KnownSplit::recognise(steps);
  }
  return out;
}

Result<PreTokenizer> PreTokenizer::of_matches(std::string_view pattern) {
  PreTokenizer out;
  TUTTI_TRY(UnicodeRegex regex, UnicodeRegex::compile(pattern));
  out.before_prefix_.push_back({std::move(regex), SplitBehavior::kRemoved, /*invert=*/true});
  out.byte_level_ = true;
  out.known_ = KnownSplit::recognise(out.before_prefix_);
  return out;
}

Status PreTokenizer::apply(const SplitStep& step,
                           std::string_view text,
                           std::vector<TextRange>& ranges,
                           std::vector<TextRange>& scratch) {
  RegexSearch search(step.regex, text.size());
  scratch.clear();
  for (const TextRange& range : ranges) {
    TUTTI_RETURN_IF_ERROR(split_piece(step, text, range, search, scratch));
  }
  ranges.swap(scratch);
  return ok_status();
}

Status PreTokenizer::split(std::string_view text,
                           PieceList& pieces,
                           std::vector<TextRange>& scratch) const {
  pieces.text = text;
  pieces.ranges.clear();
  if (text.empty()) {
    return ok_status();
  }
  pieces.ranges.push_back({0, static_cast<uint32_t>(text.size())});
  for (const SplitStep& step : before_prefix_) {
    TUTTI_RETURN_IF_ERROR(apply(step, text, pieces.ranges, scratch));
  }
  if (add_prefix_space_) {
    pieces.storage.clear();
    for (TextRange& range : pieces.ranges) {
      const auto begin = static_cast<uint32_t>(pieces.storage.size());
      if (text[range.begin] != ' ') {
        pieces.storage += ' ';
      }
      pieces.storage += text.substr(range.begin, range.end - range.begin);
      range = {begin, static_cast<uint32_t>(pieces.storage.size())};
    }
    pieces.text = pieces.storage;
  }
  for (const SplitStep& step : after_prefix_) {
    TUTTI_RETURN_IF_ERROR(apply(step, pieces.text, pieces.ranges, scratch));
  }
  return ok_status();
}

}  // namespace tutti
