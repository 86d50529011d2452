#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <functional>
#include <thread>

#include "base/utf8.h"
#include "text/unicode_props.h"

namespace tutti {

namespace {

constexpr size_t kMaxTextBytes = (size_t{1} << 31) - 1;
// Remembering merged words pays for its table from here on.
constexpr size_t kRememberFrom = size_t{16} << 10;
// A thread is worth starting for this much text, some ten milliseconds of work.
constexpr size_t kBytesPerThread = size_t{128} << 10;
constexpr int kMaxAutomaticThreads = 8;
// Real tokenizers make a token of three to five bytes.
constexpr size_t kBytesPerId = 3;

int thread_count(int wanted) {
  if (wanted > 0) {
    return wanted;
  }
  const auto available = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(available, 1, kMaxAutomaticThreads);
}

BpeScratch make_scratch(size_t text_bytes) {
  BpeScratch scratch;
  if (text_bytes >= kRememberFrom) {
    scratch.seen.resize(BpeScratch::kSeenSize);
  }
  return scratch;
}

Status check_text(std::string_view text, const std::string& where) {
  if (text.size() > kMaxTextBytes) {
    return error(StatusCode::kPayloadTooLarge,
                 "{}: {} bytes, at most {} can be tokenized at once",
                 where,
                 text.size(),
                 kMaxTextBytes);
  }
  if (const std::optional<size_t> at = find_invalid_utf8(text)) {
    return invalid("{}: invalid UTF-8 at byte {} (0x{:02x})",
                   where,
                   *at,
                   static_cast<unsigned char>(text[*at]));
  }
  return ok_status();
}

}  // namespace

/// State of one encode call.
struct Tokenizer::Work {
  std::string_view text;                // as it came
  std::span<const TextRegion> regions;  // of `text`
  int threads = 1;
  std::vector<int32_t> ids;  // the result

  size_t region = 0;  // the first one that ends after the current gap's begin
  std::string normalized;
  std::vector<TextRegion> gap_regions;
  std::vector<AddedTokens::Match> gap_matches;
  PieceList pieces;
  std::vector<TextRange> scratch;
  BpeScratch bpe;
};

Status Tokenizer::encode_known(std::string_view text,
                               std::vector<int32_t>& ids,
                               BpeScratch& scratch) const {
  const KnownSplit& split = *pre_tokenizer_.known();
  std::array<uint32_t, BpeModel::kMaxPieces> ends;
  for (uint32_t at = 0; at < text.size();) {
    const uint32_t begin = at;
    const size_t count = split.next(text, at, ends);
    TUTTI_RETURN_IF_ERROR(
        model_.encode_pieces(text, begin, std::span(ends).first(count), ids, scratch));
  }
  return ok_status();
}

// Cuts the text where pieces begin whatever stands before, and encodes the parts side by side.
Status Tokenizer::encode_parallel(std::string_view text,
                                  size_t parts,
                                  std::vector<int32_t>& ids) const {
  struct Part {
    std::string_view text;
    std::vector<int32_t> ids;
    Status status;
  };

  std::vector<Part> work;
  uint32_t begin = 0;
  for (size_t i = 1; i <= parts && begin < text.size(); ++i) {
    const auto from = static_cast<uint32_t>(std::max<size_t>(begin, text.size() * i / parts));
    const uint32_t end = pre_tokenizer_.known()->safe_cut(text, from);
    work.push_back({text.substr(begin, end - begin), {}, {}});
    begin = end;
  }
  const auto encode_part = [this](Part& part) {
    BpeScratch scratch = make_scratch(part.text.size());
    part.ids.reserve(part.text.size() / kBytesPerId);
    part.status = encode_known(part.text, part.ids, scratch);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < work.size(); ++i) {
    threads.emplace_back(encode_part, std::ref(work[i]));
  }
  encode_part(work[0]);
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (Part& part : work) {
    TUTTI_RETURN_IF_ERROR(std::move(part.status));
    ids.insert(ids.end(), part.ids.begin(), part.ids.end());
  }
  return ok_status();
}

Status Tokenizer::encode_plain(std::string_view text, Work& work) const {
  if (pre_tokenizer_.known() != nullptr) {
    const size_t parts = std::min(static_cast<size_t>(work.threads), text.size() / kBytesPerThread);
    return parts > 1 ? encode_parallel(text, parts, work.ids)
                     : encode_known(text, work.ids, work.bpe);
  }
  TUTTI_RETURN_IF_ERROR(pre_tokenizer_.split(text, work.pieces, work.scratch));
  for (size_t i = 0; i < work.pieces.ranges.size(); ++i) {
    TUTTI_RETURN_IF_ERROR(model_.encode(work.pieces.piece(i), work.ids, work.bpe));
  }
  return ok_status();
}

// Text between two raw added tokens: normalise it, look for the other added tokens, encode the
// rest.
Status Tokenizer::encode_gap(TextRange gap, Work& work) const {
  work.normalized.clear();
  work.gap_regions.clear();
  while (work.regions[work.region].range.end <= gap.begin) {
    ++work.region;
  }
  const std::string_view raw = work.text.substr(gap.begin, gap.end - gap.begin);
  const bool unchanged = normalizer_.is_normal(raw);
  uint32_t length = 0;
  for (size_t r = work.region; r < work.regions.size(); ++r) {
    const TextRange range = {std::max(work.regions[r].range.begin, gap.begin),
                             std::min(work.regions[r].range.end, gap.end)};
    if (range.begin >= range.end) {
      break;
    }
    const uint32_t begin = length;
    if (unchanged) {
      length += range.end - range.begin;
    } else {
      normalizer_.append(work.text.substr(range.begin, range.end - range.begin), work.normalized);
      if (work.normalized.size() > kMaxTextBytes) {
        return error(StatusCode::kPayloadTooLarge, "the normalised text exceeds 2^31 bytes");
      }
      length = static_cast<uint32_t>(work.normalized.size());
    }
    work.gap_regions.push_back({{begin, length}, work.regions[r].parse_special});
  }
  const std::string_view text = unchanged ? raw : std::string_view(work.normalized);
  added_.find(AddedTokens::Pass::kNormalized, text, work.gap_regions, work.gap_matches);
  uint32_t done = 0;
  for (const AddedTokens::Match& match : work.gap_matches) {
    TUTTI_RETURN_IF_ERROR(encode_plain(text.substr(done, match.range.begin - done), work));
    work.ids.push_back(match.id);
    done = match.range.end;
  }
  return encode_plain(text.substr(done), work);
}

Result<std::vector<int32_t>> Tokenizer::encode_regions(std::string_view text,
                                                       std::span<const TextRegion> regions,
                                                       bool add_special_tokens,
                                                       int threads) const {
  Work work;
  work.threads = text.size() < 2 * kBytesPerThread ? 1 : thread_count(threads);
  work.text = text;
  work.regions = regions;
  work.bpe = make_scratch(text.size());
  work.ids.reserve(prefix_.size() + text.size() / kBytesPerId);
  if (add_special_tokens) {
    work.ids = prefix_;
  }
  std::vector<AddedTokens::Match> matches;
  added_.find(AddedTokens::Pass::kRaw, text, regions, matches);
  uint32_t done = 0;
  for (const AddedTokens::Match& match : matches) {
    if (match.range.begin > done) {
      TUTTI_RETURN_IF_ERROR(encode_gap({done, match.range.begin}, work));
    }
    work.ids.push_back(match.id);
    done = match.range.end;
  }
  if (done < text.size()) {
    TUTTI_RETURN_IF_ERROR(encode_gap({done, static_cast<uint32_t>(text.size())}, work));
  }
  if (add_special_tokens) {
    work.ids.insert(work.ids.end(), suffix_.begin(), suffix_.end());
  }
  return std::move(work.ids);
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view utf8, EncodeOptions options) const {
  TUTTI_RETURN_IF_ERROR(check_text(utf8, "text"));
  const TextRegion region = {{0, static_cast<uint32_t>(utf8.size())}, options.parse_special};
  return encode_regions(utf8, std::span(&region, 1), options.add_special_tokens, options.threads);
}

Result<std::vector<int32_t>> Tokenizer::encode_spans(std::span<const Span> spans,
                                                     bool add_special_tokens,
                                                     int threads) const {
  std::string text;
  std::vector<TextRegion> regions;
  for (size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    TUTTI_RETURN_IF_ERROR(check_text(span.text, fmt::format("spans[{}]", i)));
    if (text.size() + span.text.size() > kMaxTextBytes) {
      return error(
          StatusCode::kPayloadTooLarge, "spans[{}]: the text exceeds {} bytes", i, kMaxTextBytes);
    }
    if (span.text.empty()) {
      continue;
    }
    if (regions.empty() || regions.back().parse_special != span.parse_special) {
      const auto begin = static_cast<uint32_t>(text.size());
      regions.push_back({{begin, begin}, span.parse_special});
    }
    text += span.text;
    regions.back().range.end = static_cast<uint32_t>(text.size());
  }
  return encode_regions(text, regions, add_special_tokens, threads);
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (has_decoded_) {
    return kind(id) != kNone ? std::string_view(decoded_[static_cast<size_t>(id)])
                             : std::string_view();
  }
  return (kind(id) & kAdded) != 0 ? std::string_view(added_.by_id(id)->content) : model_.bytes(id);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  std::string run;  // of fallback bytes
  for (const int32_t id : ids) {
    if (skip_special && is_special(id)) {
      continue;
    }
    if (is_fallback_byte(id)) {
      run += token_bytes(id);
      continue;
    }
    append_fallback_bytes(run, bytes);
    bytes += token_bytes(id);
  }
  append_fallback_bytes(run, bytes);
  return find_invalid_utf8(bytes) ? replace_invalid_utf8(bytes) : bytes;
}

Result<std::string> Tokenizer::decode_checked(std::span<const int32_t> ids,
                                              bool skip_special) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!has_token(ids[i])) {
      return invalid("ids[{}]: {} is no token id; the vocabulary has ids 0 to {} (not all used)",
                     i,
                     ids[i],
                     vocab_size() - 1);
    }
  }
  return decode(ids, skip_special);
}

void append_fallback_bytes(std::string& run, std::string& out) {
  if (is_valid_utf8(run)) {
    out += run;
  } else {
    for (size_t i = 0; i < run.size(); ++i) {
      append_utf8(out, 0xFFFD);
    }
  }
  run.clear();
}

std::optional<int32_t> Tokenizer::token_id(std::string_view content) const {
  if (const AddedToken* token = added_.by_content(content)) {
    return token->id;
  }
  return content.empty() ? std::nullopt : model_.find(content);
}

}  // namespace tutti
