#include "backend/rank_choice.h"

#include <algorithm>

namespace tutti {

namespace {

std::string plural(int count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// "4 GPUs", "2 GPUs with 3 ranks each"
std::string room(const RankWish& wish) {
  return plural(wish.gpus, "GPU") +
         (wish.ranks_per_gpu == 1 ? "" : fmt::format(" with {} ranks each", wish.ranks_per_gpu));
}

// The most legal ranks that the GPUs hold; 0: none is a multiple of the ranks per GPU.
int most_ranks(const RankWish& wish, const std::vector<int>& legal) {
  int most = 0;
  for (const int ranks : legal) {
    if (ranks % wish.ranks_per_gpu == 0 && ranks / wish.ranks_per_gpu <= wish.gpus) {
      most = std::max(most, ranks);
    }
  }
  return most;
}

bool contains(const std::vector<int>& legal, int ranks) {
  return std::find(legal.begin(), legal.end(), ranks) != legal.end();
}

RankChoice use(const RankWish& wish, int ranks, std::string left_out = {}) {
  return {.ranks = ranks, .gpus = ranks / wish.ranks_per_gpu, .left_out = std::move(left_out)};
}

Status too_many_per_gpu(const RankWish& wish, const std::vector<int>& legal) {
  return invalid(
      "‹ranks_per_gpu› {}: no legal number of ranks of this model ({}) fits {}; type "
      "‹ranks_per_gpu› 1",
      wish.ranks_per_gpu,
      fmt::join(legal, ", "),
      room(wish));
}

// What to type instead of --gpus, for `gpus` of them.
std::string fewer_gpus(const RankWish& wish, int gpus) {
  return wish.gpus_typed.find_first_of(",-") == std::string::npos
             ? fmt::format("‹gpus› {}", gpus)
             : fmt::format("{} of them in ‹gpus›", gpus);
}

Result<RankChoice> choose_all(const RankWish& wish, const LegalRanks& legal_ranks) {
  const int ranks = wish.gpus * wish.ranks_per_gpu;
  const std::vector<int> legal = ranks == 1 ? std::vector<int>{1} : legal_ranks();
  if (legal.empty() || contains(legal, ranks)) {
    return use(wish, ranks);
  }
  const int most = most_ranks(wish, legal);
  if (most == 0) {
    return too_many_per_gpu(wish, legal);
  }
  return invalid(
      "‹gpus› {}: {} take {}, over which this model cannot be split (legal: {}); type "
      "{}, or ‹gpus› auto",
      wish.gpus_typed,
      room(wish),
      plural(ranks, "rank"),
      fmt::join(legal, ", "),
      fewer_gpus(wish, most / wish.ranks_per_gpu));
}

Result<RankChoice> choose_most(const RankWish& wish, const LegalRanks& legal_ranks) {
  const int room_for = wish.gpus * wish.ranks_per_gpu;
  const std::vector<int> legal = room_for == 1 ? std::vector<int>{1} : legal_ranks();
  if (legal.empty()) {
    return use(wish, wish.ranks_per_gpu);
  }
  const int most = most_ranks(wish, legal);
  if (most == 0) {
    return too_many_per_gpu(wish, legal);
  }
  return use(wish,
             most,
             most == room_for
                 ? ""
                 : fmt::format("of the rank counts of this model ({}) {} is the largest for {}",
                               fmt::join(legal, ", "),
                               most,
                               room(wish)));
}

// Exactly the GPUs of --gpus and exactly --tp ranks.
Result<RankChoice> check_both(const RankWish& wish, const LegalRanks& legal_ranks) {
  const int ranks = wish.gpus * wish.ranks_per_gpu;
  const std::vector<int> legal = legal_ranks();
  if (!legal.empty() && !contains(legal, wish.tp)) {
    return invalid("‹tp› {}: this model cannot be split over {}; legal: {}",
                   wish.tp,
                   plural(wish.tp, "rank"),
                   fmt::join(legal, ", "));
  }
  if (wish.tp == ranks) {
    return use(wish, ranks);
  }
  std::vector<std::string> ways;
  if (contains(legal, ranks)) {
    ways.push_back(fmt::format("‹tp› {}", ranks));
  }
  if (wish.tp % wish.ranks_per_gpu == 0 && wish.tp < ranks) {
    ways.push_back(fewer_gpus(wish, wish.tp / wish.ranks_per_gpu));
  }
  if (wish.tp % wish.gpus == 0) {
    ways.push_back(fmt::format("‹ranks_per_gpu› {} (for tests)", wish.tp / wish.gpus));
  }
  if (wish.tp < ranks || ways.empty()) {
    ways.emplace_back("‹gpus› auto");
  }
  return invalid("‹gpus› {} ‹tp› {}: {} take {}; type {}",
                 wish.gpus_typed,
                 wish.tp,
                 room(wish),
                 plural(ranks, "rank"),
                 fmt::join(ways, ", or "));
}

// --tp ranks on the first GPUs.
Result<RankChoice> choose_first(const RankWish& wish, const LegalRanks& legal_ranks) {
  const std::vector<int> legal = wish.tp == 1 ? std::vector<int>{1} : legal_ranks();
  if (!legal.empty() && !contains(legal, wish.tp)) {
    return invalid("‹tp› {}: this model cannot be split over {}; legal: {}",
                   wish.tp,
                   plural(wish.tp, "rank"),
                   fmt::join(legal, ", "));
  }
  if (wish.tp % wish.ranks_per_gpu != 0) {
    return invalid(
        "‹tp› {} ‹ranks_per_gpu› {}: the ranks do not fill whole GPUs; type a ‹tp› that "
        "is a multiple of {}",
        wish.tp,
        wish.ranks_per_gpu,
        wish.ranks_per_gpu);
  }
  const int wanted = wish.tp / wish.ranks_per_gpu;
  if (wanted <= wish.gpus) {
    return use(
        wish,
        wish.tp,
        wanted == wish.gpus ? "" : fmt::format("‹tp› {} takes {}", wish.tp, plural(wanted, "GPU")));
  }
  const int most = most_ranks(wish, legal);
  std::vector<std::string> ways;
  if (most > 0) {
    ways.push_back(fmt::format("‹tp› {}", most));
  }
  if (wish.tp % wish.gpus == 0) {
    ways.push_back(fmt::format("‹ranks_per_gpu› {} (for tests)", wish.tp / wish.gpus));
  }
  ways.emplace_back("‹device› cpu");
  return invalid("‹tp› {}: wants {}, there {} {}; type {}",
                 wish.tp,
                 plural(wanted, "GPU"),
                 wish.gpus == 1 ? "is" : "are",
                 wish.gpus,
                 fmt::join(ways, ", or "));
}

}  // namespace

Result<RankChoice> choose_ranks(const RankWish& wish, const LegalRanks& legal) {
  const bool automatic = wish.gpus_typed == "auto";
  if (wish.tp == 0) {
    return automatic ? choose_most(wish, legal) : choose_all(wish, legal);
  }
  return automatic ? choose_first(wish, legal) : check_both(wish, legal);
}

}  // namespace tutti
