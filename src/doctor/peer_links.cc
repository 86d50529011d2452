#include "doctor/peer_links.h"

#include <algorithm>
#include <optional>

namespace tutti {

namespace {

// CUDA's index of the GPU with this number of NVML's.
std::optional<int64_t> cuda_index(const Inventory& inventory, int64_t nvml_index) {
  const auto gpu = std::find_if(inventory.gpus.begin(), inventory.gpus.end(), [&](const Gpu& g) {
    return g.nvml_index == nvml_index;
  });
  return gpu == inventory.gpus.end() ? std::nullopt : gpu->index;
}

// How bad a verdict is, in the words of the inventory: later ones win.
enum class Word { kNotRun, kPass, kFail, kHang };

Word word_of(PeerVerdict verdict) {
  switch (verdict) {
    case PeerVerdict::kOk:
      return Word::kPass;
    case PeerVerdict::kWrongData:
    case PeerVerdict::kError:
    case PeerVerdict::kCrash:
      return Word::kFail;
    case PeerVerdict::kHang:
      return Word::kHang;
    case PeerVerdict::kUntested:
    case PeerVerdict::kTrying:
    case PeerVerdict::kUnsupported:
      break;
  }
  return Word::kNotRun;
}

}  // namespace

std::vector<int> gpus_to_test(const Inventory& inventory) {
  std::vector<int> indices;
  for (const Gpu& gpu : inventory.gpus) {
    if (gpu.index && !gpu.mig.value_or(false)) {
      indices.push_back(static_cast<int>(*gpu.index));
    }
  }
  return indices;
}

void add_peer_results(const PeerReport& report, Inventory& inventory) {
  constexpr const char* kWords[] = {"not_run", "pass", "fail", "hang"};
  for (GpuLink& link : inventory.links) {
    const std::optional<int64_t> a = cuda_index(inventory, link.a);
    const std::optional<int64_t> b = cuda_index(inventory, link.b);
    Word worst = Word::kNotRun;
    for (const PeerResult& pair : report.pairs) {
      if ((pair.from == a && pair.to == b) || (pair.from == b && pair.to == a)) {
        worst = std::max(worst, word_of(pair.verdict));
      }
    }
    if (worst == Word::kPass && !report.beside.empty()) {
      worst = Word::kFail;
    }
    link.data_test = kWords[static_cast<size_t>(worst)];
  }
  if (!report.usable() && !report.pairs.empty()) {
    inventory.add_error("p2p", report.line());
  }
}

}  // namespace tutti
