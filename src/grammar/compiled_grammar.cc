#include "grammar/compiled_grammar.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "grammar/token_masks.h"

namespace tutti::grammar {

class GrammarCore {
 public:
  // Well below what the budget allows, so that ordinary texts under way do not meet it.
  static constexpr size_t kWornBytes = size_t{16} << 20U;

  GrammarCore(std::unique_ptr<Machine> made,
              std::shared_ptr<const Vocabulary> of_model,
              const GrammarBudget& given)
      : budget(given),
        machine(std::move(made)),
        vocabulary(std::move(of_model)),
        masks(*machine, *vocabulary, budget) {
    count();
  }

  // Others ask while the grammar is in use.
  void count() {
    const size_t of_machine = machine->memory_bytes();
    bytes.store(of_machine + masks.memory_bytes(), std::memory_order_relaxed);
    worn.store(machine->exhausted() || of_machine > kWornBytes, std::memory_order_relaxed);
  }

  const GrammarBudget budget;
  std::unique_ptr<Machine> machine;
  std::shared_ptr<const Vocabulary> vocabulary;
  TokenMasks masks;
  std::atomic<size_t> bytes = 0;
  std::atomic<bool> worn = false;
};

namespace {

class CoreState final : public GrammarState {
 public:
  CoreState(std::shared_ptr<GrammarCore> core, const std::vector<int32_t>& end_ids)
      : core_(std::move(core)), end_ids_(end_ids), place_(core_->machine->start()) {}

  // Beyond the budget no token may come, which ends the sequence with an error.
  void fill_mask(std::span<uint32_t> mask) override {
    core_->masks.fill(place_, mask);
    core_->count();
    if (core_->machine->exhausted()) {
      std::ranges::fill(mask, 0U);
      return;
    }
    if (core_->machine->may_end(place_)) {
      for (const int32_t id : end_ids_) {
        mask[static_cast<size_t>(id) / 32] |= 1U << (static_cast<uint32_t>(id) % 32);
      }
    }
  }

  bool accept(int32_t token) override {
    Machine& machine = *core_->machine;
    if (machine.may_end(place_) && std::ranges::find(end_ids_, token) != end_ids_.end()) {
      return true;  // an end that the request wants ignored
    }
    const auto id = static_cast<size_t>(token);
    if (token < 0 || id >= core_->vocabulary->size() || core_->vocabulary->text(token).empty()) {
      return false;
    }
    for (const char byte : core_->vocabulary->text(token)) {
      place_ = machine.step(place_, static_cast<uint8_t>(byte));
    }
    return place_ != Machine::kNowhere || machine.exhausted();  // the next mask says so
  }

 private:
  const std::shared_ptr<GrammarCore> core_;
  const std::vector<int32_t>& end_ids_;  // of the grammar, which the sequence keeps
  PlaceId place_;
};

class CompiledGrammar final : public TokenGrammar {
 public:
  CompiledGrammar(std::shared_ptr<GrammarCore> core, std::vector<int32_t> end_ids)
      : core_(std::move(core)), end_ids_(std::move(end_ids)) {}

  std::unique_ptr<GrammarState> start() const override {
    return std::make_unique<CoreState>(core_, end_ids_);
  }

 private:
  const std::shared_ptr<GrammarCore> core_;
  const std::vector<int32_t> end_ids_;
};

}  // namespace

Result<std::shared_ptr<GrammarCore>> make_core(Syntax syntax,
                                               std::shared_ptr<const Vocabulary> vocabulary,
                                               const GrammarBudget& budget) {
  TUTTI_TRY(std::unique_ptr<Machine> machine, Machine::make(std::move(syntax), budget));
  return std::make_shared<GrammarCore>(std::move(machine), std::move(vocabulary), budget);
}

size_t memory_bytes(const GrammarCore& core) {
  return core.bytes.load(std::memory_order_relaxed);
}

bool worn(const GrammarCore& core) {
  return core.worn.load(std::memory_order_relaxed);
}

std::shared_ptr<const TokenGrammar> make_token_grammar(std::shared_ptr<GrammarCore> core,
                                                       std::vector<int32_t> end_ids) {
  return std::make_shared<CompiledGrammar>(std::move(core), std::move(end_ids));
}

bool matches(GrammarCore& core, std::string_view text) {
  PlaceId place = core.machine->start();
  for (const char byte : text) {
    place = core.machine->step(place, static_cast<uint8_t>(byte));
  }
  return core.machine->may_end(place);
}

}  // namespace tutti::grammar
