// Finds out which characters satisfy the conditions of whole_characters.h.
#pragma once
#include <cstdint>
#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/bpe.h"

namespace tutti {

class WholeCharactersFinder {
 public:
  /// `model`: byte-level, with all its merges.
  explicit WholeCharactersFinder(BpeModel& model) : model_(model) {}

  /// Fills the model's table of whole characters.
  void run();

 private:
  struct Neighbour {
    uint8_t byte = 0;
    int32_t lowest = INT32_MAX;  ///< rank of a merge that joins it to the fragment
  };

  // By fragment of a character.
  using Edges = std::unordered_map<uint32_t, std::vector<Neighbour>>;

  static void note_edge(Edges& edges, std::string_view fragment, char neighbour, int32_t rank);
  static void forbid(const Edges& edges,
                     std::string_view fragment,
                     int32_t rank,
                     WholeCharacters::ByteSet& bytes);
  void note_merge(const BpeModel::Merge& merge);
  void note_contained(std::string_view part, int32_t rank);
  int32_t completed_at(std::string_view bytes, int32_t& token) const;
  uint32_t guard_number(const WholeCharacters::Guard& guard);

  BpeModel& model_;
  Edges prefixes_;  // of condition 1: a beginning of a character, and what is before
  Edges suffixes_;  // an end of a character, and what comes after
  std::vector<int32_t> contained_;  // by code point: lowest rank of condition 2
  std::map<WholeCharacters::Guard, uint32_t> guards_;
};

}  // namespace tutti
