#include "cuda/comm/peer_thresholds.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/checked.h"

namespace tutti::cuda {

namespace {

// Takes "<name> <number>" and a space behind it from `text`.
std::optional<int64_t> take_number(std::string_view& text, std::string_view name) {
  if (!text.starts_with(name)) {
    return std::nullopt;
  }
  text.remove_prefix(name.size());
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || value < 0) {
    return std::nullopt;
  }
  text.remove_prefix(usize(end - text.data()));
  return value;
}

}  // namespace

std::string to_text(const PeerThresholds& thresholds) {
  return fmt::format("flagged {} push {}", thresholds.flagged_bytes, thresholds.push_bytes);
}

Result<PeerThresholds> parse_thresholds(std::string_view text) {
  std::string_view rest = text;
  const std::optional<int64_t> flagged = take_number(rest, "flagged ");
  const std::optional<int64_t> push = flagged ? take_number(rest, " push ") : std::nullopt;
  if (!push || !rest.empty() || *push < *flagged) {
    return error(
        StatusCode::kCorrupt,
        "sizes of collectives: got \"{}\", wanted \"flagged BYTES push BYTES\", the second "
        "not below the first",
        text);
  }
  return PeerThresholds{.flagged_bytes = *flagged, .push_bytes = *push};
}

PeerThresholds choose_thresholds(std::span<const PeerSample> samples) {
  PeerThresholds best;
  double least = std::numeric_limits<double>::infinity();
  const auto end_of = [&](size_t count) { return count == 0 ? 0 : samples[count - 1].bytes; };
  for (size_t flagged = 0; flagged <= samples.size(); ++flagged) {
    for (size_t push = flagged; push <= samples.size(); ++push) {
      const PeerThresholds candidate{.flagged_bytes = end_of(flagged), .push_bytes = end_of(push)};
      double loss = 0;
      for (const PeerSample& sample : samples) {
        loss += std::log(sample.seconds[static_cast<size_t>(candidate.choose(sample.bytes))] /
                         *std::ranges::min_element(sample.seconds));
      }
      if (loss < least) {
        least = loss;
        best = candidate;
      }
    }
  }
  return best;
}

}  // namespace tutti::cuda
