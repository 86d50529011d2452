#include "grammar/json_number.h"

#include <algorithm>
#include <charconv>
#include <vector>

namespace tutti::grammar {

namespace {

constexpr int kMaxExponent = 400;
// Remainders that are told apart.
constexpr uint64_t kMaxStep = 10'000;
constexpr uint32_t kMaxPlaces = 4;

class NumberText {
 public:
  NumberText(RegexPool& pool, bool integer) : pool_(pool), integer_(integer) {}

  ExprId digit(char first, char last) {
    return first > last ? RegexPool::kNothing
                        : pool_.bytes(ByteSet::range(static_cast<uint8_t>(first),
                                                     static_cast<uint8_t>(last)));
  }

  ExprId any_digits() { return pool_.repeat(digit('0', '9'), 0, kUnbounded); }

  ExprId digits(size_t count) {
    const auto times = static_cast<uint32_t>(count);
    return pool_.repeat(digit('0', '9'), times, times);
  }

  // 0 or without leading zeros.
  ExprId any_whole() {
    return pool_.either(digit('0', '0'), pool_.concat(digit('1', '9'), any_digits()));
  }

  ExprId any_fraction() {
    return integer_ ? RegexPool::kEmpty
                    : pool_.optional(pool_.concat(digit('.', '.'),
                                                  pool_.repeat(digit('0', '9'), 1, kUnbounded)));
  }

  ExprId any_magnitude() { return pool_.concat(any_whole(), any_fraction()); }

  // Any digits of which one is not zero.
  ExprId some_nonzero() {
    return pool_.concat(any_digits(), pool_.concat(digit('1', '9'), any_digits()));
  }

  ExprId fraction_at_least(const std::string& bound, bool excluded) {
    if (bound.empty() && !excluded) {
      return any_fraction();
    }
    if (integer_) {
      return RegexPool::kNothing;
    }
    std::vector<ExprId> options;
    for (size_t i = 0; i < bound.size(); ++i) {
      options.push_back(differs_at(bound, i, static_cast<char>(bound[i] + 1), '9', any_digits()));
    }
    options.push_back(pool_.concat(pool_.literal(bound), excluded ? some_nonzero() : any_digits()));
    return pool_.concat(digit('.', '.'), pool_.either(options));
  }

  ExprId fraction_at_most(const std::string& bound, bool excluded) {
    if (bound.empty() && excluded) {
      return RegexPool::kNothing;
    }
    if (integer_) {
      return RegexPool::kEmpty;
    }
    std::vector<ExprId> options;
    for (size_t i = 0; i < bound.size(); ++i) {
      options.push_back(differs_at(bound, i, '0', static_cast<char>(bound[i] - 1), any_digits()));
      if (i > 0) {
        options.push_back(pool_.literal(bound.substr(0, i)));
      }
    }
    if (!excluded) {
      options.push_back(pool_.concat(
          pool_.literal(bound), pool_.repeat(digit('0', '0'), bound.empty() ? 1 : 0, kUnbounded)));
    }
    return pool_.optional(pool_.concat(digit('.', '.'), pool_.either(options)));
  }

  ExprId at_least(const Decimal& bound, bool excluded) {
    const std::string& whole = bound.whole;
    const ExprId fraction = fraction_at_least(bound.fraction, excluded);
    const auto count = static_cast<uint32_t>(whole.size());
    std::vector<ExprId> options;
    // More digits.
    const ExprId longer[] = {
        digit('1', '9'), pool_.repeat(digit('0', '9'), count, kUnbounded), any_fraction()};
    options.push_back(pool_.concat(longer));
    for (size_t i = 0; i < whole.size(); ++i) {
      options.push_back(differs_at(whole,
                                   i,
                                   static_cast<char>(whole[i] + 1),
                                   '9',
                                   pool_.concat(digits(whole.size() - i - 1), any_fraction())));
    }
    options.push_back(pool_.concat(pool_.literal(whole.empty() ? "0" : whole), fraction));
    return pool_.either(options);
  }

  ExprId at_most(const Decimal& bound, bool excluded) {
    const std::string& whole = bound.whole;
    std::vector<ExprId> options;
    if (!whole.empty()) {
      options.push_back(pool_.concat(digit('0', '0'), any_fraction()));
    }
    if (whole.size() > 1) {
      const ExprId shorter[] = {
          digit('1', '9'),
          pool_.repeat(digit('0', '9'), 0, static_cast<uint32_t>(whole.size() - 2)),
          any_fraction()};
      options.push_back(pool_.concat(shorter));
    }
    for (size_t i = 0; i < whole.size(); ++i) {
      options.push_back(differs_at(whole,
                                   i,
                                   i == 0 ? '1' : '0',
                                   static_cast<char>(whole[i] - 1),
                                   pool_.concat(digits(whole.size() - i - 1), any_fraction())));
    }
    options.push_back(pool_.concat(pool_.literal(whole.empty() ? "0" : whole),
                                   fraction_at_most(bound.fraction, excluded)));
    return pool_.either(options);
  }

 private:
  // The first i digits of `bound`, then one from `first` to `last`, then `rest`.
  ExprId differs_at(const std::string& bound, size_t i, char first, char last, ExprId rest) {
    return pool_.concat(pool_.literal(bound.substr(0, i)), pool_.concat(digit(first, last), rest));
  }

  RegexPool& pool_;
  const bool integer_;
};

// Remainder of the digits so far, and how many of them stand behind the point.
class MultipleAutomaton final : public Automaton {
 public:
  /// Multiples of step / 10^places.
  MultipleAutomaton(uint32_t step, uint32_t places) : step_(step), places_(places) {}

  uint32_t step(uint32_t state, uint8_t byte) const override {
    const uint32_t remainder = state / (places_ + 2);
    const uint32_t behind = state % (places_ + 2);  // 0: no point yet
    if (byte == '-') {
      return state;
    }
    if (byte == '.') {
      return behind == 0 && places_ > 0 ? state + 1 : kDead;
    }
    if (byte < '0' || byte > '9' || behind == places_ + 1) {
      return kDead;
    }
    const uint32_t next = (remainder * 10 + (byte - '0')) % step_;
    return next * (places_ + 2) + (behind == 0 ? 0 : behind + 1);
  }

  bool accepts(uint32_t state) const override {
    uint64_t remainder = state / (places_ + 2);
    const uint32_t behind = state % (places_ + 2);
    for (uint32_t i = behind == 0 ? 0 : behind - 1; i < places_; ++i) {
      remainder *= 10;
    }
    return remainder % step_ == 0;
  }

  std::vector<ByteSet> byte_sets() const override {
    std::vector<ByteSet> sets{ByteSet::of('-'), ByteSet::of('.')};
    for (int digit = '0'; digit <= '9'; ++digit) {
      sets.push_back(ByteSet::of(static_cast<uint8_t>(digit)));
    }
    return sets;
  }

 private:
  const uint32_t step_;
  const uint32_t places_;
};

}  // namespace

std::optional<Decimal> Decimal::of(const Json& number) {
  const std::string text = to_string(number);
  Decimal out;
  std::string digits;
  int64_t point = -1;
  int64_t exponent = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '-') {
      out.negative = true;
    } else if (c == '.') {
      point = static_cast<int64_t>(digits.size());
    } else if (c == 'e' || c == 'E') {
      const size_t begin = i + 1 + (i + 1 < text.size() && text[i + 1] == '+' ? 1 : 0);
      const auto read = std::from_chars(text.data() + begin, text.data() + text.size(), exponent);
      if (read.ec != std::errc() || exponent > kMaxExponent || exponent < -kMaxExponent) {
        return {};
      }
      break;
    } else {
      digits.push_back(c);
    }
  }
  if (digits.size() > kMaxExponent) {
    return {};
  }
  int64_t whole = (point < 0 ? static_cast<int64_t>(digits.size()) : point) + exponent;
  if (whole < 0) {
    digits.insert(0, static_cast<size_t>(-whole), '0');
    whole = 0;
  }
  if (whole > static_cast<int64_t>(digits.size())) {
    digits.append(static_cast<size_t>(whole) - digits.size(), '0');
  }
  out.whole = digits.substr(0, static_cast<size_t>(whole));
  out.fraction = digits.substr(static_cast<size_t>(whole));
  out.whole.erase(0, std::min(out.whole.find_first_not_of('0'), out.whole.size()));
  out.fraction.erase(out.fraction.find_last_not_of('0') + 1);
  out.negative = out.negative && !out.zero();
  return out;
}

int Decimal::compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) {
    return a.negative ? -1 : 1;
  }
  int order = a.whole.size() != b.whole.size() ? (a.whole.size() < b.whole.size() ? -1 : 1)
                                               : a.whole.compare(b.whole);
  if (order == 0) {
    order = a.fraction.compare(b.fraction);
  }
  return a.negative ? -order : order;
}

void NumberBounds::at_least(const Decimal& bound, bool excluded) {
  const int order = min.has_value() ? Decimal::compare(bound, *min) : 1;
  if (order >= 0) {
    min_excluded = excluded || (order == 0 && min_excluded);
    min = bound;
  }
}

void NumberBounds::at_most(const Decimal& bound, bool excluded) {
  const int order = max.has_value() ? Decimal::compare(bound, *max) : -1;
  if (order <= 0) {
    max_excluded = excluded || (order == 0 && max_excluded);
    max = bound;
  }
}

ExprId number_within(RegexPool& pool, const NumberBounds& bounds) {
  NumberText text(pool, bounds.integer);
  const ExprId minus = text.digit('-', '-');
  if (!bounds.min.has_value() && !bounds.max.has_value()) {
    if (bounds.integer) {
      return pool.either(
          text.digit('0', '0'),
          pool.concat(pool.optional(minus), pool.concat(text.digit('1', '9'), text.any_digits())));
    }
    ByteSet signs;
    signs.add('+');
    signs.add('-');
    ByteSet e;
    e.add('e');
    e.add('E');
    const ExprId exponent[] = {
        pool.bytes(e), pool.optional(pool.bytes(signs)), pool.repeat(text.digit('0', '9'), 1, 2)};
    const ExprId parts[] = {
        pool.optional(minus), text.any_magnitude(), pool.optional(pool.concat(exponent))};
    return pool.concat(parts);
  }
  std::vector<ExprId> options;
  const bool has_min = bounds.min.has_value();
  const bool has_max = bounds.max.has_value();
  if (!has_max || !bounds.max->negative) {
    std::vector<ExprId> both{text.any_magnitude()};
    if (has_min && (!bounds.min->negative)) {
      both.push_back(text.at_least(*bounds.min, bounds.min_excluded));
    }
    if (has_max) {
      both.push_back(text.at_most(*bounds.max, bounds.max_excluded));
    }
    options.push_back(pool.both(both));
  }
  if (!has_min || bounds.min->negative) {
    std::vector<ExprId> both{text.any_magnitude()};
    const bool below = has_max && bounds.max->negative;
    both.push_back(below ? text.at_least(*bounds.max, bounds.max_excluded)
                         : text.at_least(Decimal(), /*excluded=*/true));
    if (has_min) {
      both.push_back(text.at_most(*bounds.min, bounds.min_excluded));
    }
    options.push_back(pool.concat(minus, pool.both(both)));
  }
  return pool.either(options);
}

Result<ExprId> multiples_of(RegexPool& pool, const Decimal& step) {
  const std::string digits = step.whole + step.fraction;
  uint64_t value = 0;
  for (const char c : digits) {
    value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(c - '0'), kMaxStep + 1);
  }
  if (value > kMaxStep || step.fraction.size() > kMaxPlaces) {
    return error(StatusCode::kUnsupported,
                 "multiples of it cannot be enforced: at most {} digits behind the point, and {} "
                 "without it",
                 kMaxPlaces,
                 kMaxStep);
  }
  return pool.automaton(std::make_shared<MultipleAutomaton>(
      static_cast<uint32_t>(value), static_cast<uint32_t>(step.fraction.size())));
}

}  // namespace tutti::grammar
