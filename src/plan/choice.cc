#include "plan/choice.h"

#include <algorithm>
#include <numeric>

#include "plan/planner.h"

namespace tutti {

namespace {

// Sets of `count` GPUs worth trying: those with most room, of each model and of all.
std::vector<std::vector<size_t>> sets_of(const Machine& machine,
                                         const std::vector<size_t>& usable,
                                         size_t count) {
  std::vector<std::vector<size_t>> sets;
  const auto add = [&](std::vector<size_t> from) {
    if (from.size() < count) {
      return;
    }
    // Equal room: in CUDA's order, so that the first ones are taken.
    from = machine.emptiest_first(std::move(from));
    from.resize(count);
    std::sort(from.begin(), from.end());
    if (std::find(sets.begin(), sets.end(), from) == sets.end()) {
      sets.push_back(std::move(from));
    }
  };
  for (const size_t first : usable) {
    std::vector<size_t> alike;
    std::copy_if(usable.begin(), usable.end(), std::back_inserter(alike), [&](size_t i) {
      return machine.gpus[i].name == machine.gpus[first].name;
    });
    add(std::move(alike));
  }
  add(usable);
  return sets;
}

class Search {
 public:
  Search(ModelNeeds& needs,
         const Machine& machine,
         const PlanRequest& request,
         const std::vector<size_t>& usable)
      : needs_(needs), machine_(machine), request_(request), usable_(usable) {}

  Result<Choice> run() {
    TUTTI_RETURN_IF_ERROR(try_tensor_splits());
    pick_runnable();
    const bool met = choice_.best && choice_.best->meets;
    if (!request_.runnable_only && !met) {
      TUTTI_RETURN_IF_ERROR(try_other_forms());
    }
    return std::move(choice_);
  }

 private:
  Result<std::optional<Layout>> best_of(const Parallel& form, size_t gpus) {
    std::optional<Layout> best;
    for (const std::vector<size_t>& set : sets_of(machine_, usable_, gpus)) {
      TUTTI_TRY(Layout layout, lay_out(needs_, machine_, request_, form, set));
      if (!layout.loads) {
        note_refusal(layout);
        continue;
      }
      const bool better = !best || (layout.meets && !best->meets) ||
                          (layout.meets == best->meets && layout.figure > best->figure);
      if (better) {
        best = std::move(layout);
      }
    }
    return best;
  }

  // Of layouts that do not load the one that people would expect: tensors split over most GPUs.
  void note_refusal(const Layout& layout) {
    std::optional<Layout>& closest = choice_.closest;
    const bool closer =
        !closest || layout.gpus.size() > closest->gpus.size() ||
        (layout.gpus.size() == closest->gpus.size() && layout.short_by < closest->short_by);
    if (form_runs(layout.parallel, 1) ? closer : !closest) {
      closest = layout;
    }
  }

  Status try_tensor_splits() {
    for (const int tp : needs_.degrees()) {
      const bool wanted =
          request_.tp == 0 ? !request_.all_gpus || tp == most_degree() : tp == request_.tp;
      if (tp > kMostRanksOfHost || tp > static_cast<int>(usable_.size()) || !wanted) {
        continue;
      }
      TUTTI_TRY(std::optional<Layout> layout, best_of({.tp = tp}, static_cast<size_t>(tp)));
      if (layout) {
        choice_.tried.push_back(std::move(*layout));
      }
    }
    return ok_status();
  }

  int most_degree() const {
    int most = 1;
    for (const int tp : needs_.degrees()) {
      most = tp <= kMostRanksOfHost && tp <= static_cast<int>(usable_.size()) ? tp : most;
    }
    return most;
  }

  // From few GPUs to many: more are taken where they are needed for room, or help.
  void pick_runnable() {
    const Layout* best = nullptr;
    for (const Layout& more : choice_.tried) {
      const bool needed = best != nullptr && !best->meets &&
                          (more.meets || more.context > best->context ||
                           (request_.concurrency > 0 && more.sequences > best->sequences));
      if (best == nullptr || needed || more.figure >= kHelps * best->figure) {
        best = &more;
      }
    }
    if (best != nullptr) {
      choice_.best = *best;
    }
  }

  struct Form {
    Parallel parallel;
    int gpus = 1;  // of one host
  };

  // What `n` ranks that split tensors can be beside that.
  void add_forms(int n, std::vector<Form>& forms) const {
    const ModelShape& shape = needs_.shape();
    const int copies = static_cast<int>(usable_.size()) / n;
    if (copies > 1) {
      forms.push_back({.parallel = {.tp = n, .replicas = copies}, .gpus = n * copies});
    }
    // Ranks that keep the same part of the cache.
    const int alike = shape.mla ? n : static_cast<int>(n / std::min<int64_t>(n, shape.kv_heads));
    for (int dcp = 2; dcp <= alike; dcp *= 2) {
      if (alike % dcp == 0) {
        forms.push_back({.parallel = {.tp = n, .dcp = dcp}, .gpus = n});
      }
    }
    if (n > 1 && shape.experts > 0 && shape.experts % n == 0) {
      forms.push_back({.parallel = {.tp = 1, .dp = n, .ep = n}, .gpus = n});
    }
    if (n > 1 && machine_.nodes > 1) {
      forms.push_back({.parallel = {.tp = n, .pp = machine_.nodes}, .gpus = n});
    }
  }

  // What this build cannot start yet, where that gives what was asked for, or fits at all.
  Status try_other_forms() {
    std::vector<Form> forms;
    for (const int n : needs_.degrees()) {
      if (n <= static_cast<int>(usable_.size())) {
        add_forms(n, forms);
      }
    }
    std::optional<Layout> found;
    for (const Form& form : forms) {
      TUTTI_TRY(std::optional<Layout> layout,
                best_of(form.parallel, static_cast<size_t>(form.gpus)));
      if (!layout || (!layout->meets && choice_.best)) {
        continue;
      }
      if (!found || (layout->meets && !found->meets) ||
          (layout->meets == found->meets && layout->figure > kHelps * found->figure)) {
        found = std::move(layout);
      }
    }
    if (found) {
      choice_.runnable = std::move(choice_.best);
      choice_.best = std::move(found);
    }
    return ok_status();
  }

  ModelNeeds& needs_;
  const Machine& machine_;
  const PlanRequest& request_;
  const std::vector<size_t>& usable_;
  Choice choice_;
};

}  // namespace

Result<Choice> choose_layout(ModelNeeds& needs,
                             const Machine& machine,
                             const PlanRequest& request,
                             const std::vector<size_t>& usable) {
  return Search(needs, machine, request, usable).run();
}

int nodes_of(const Parallel& form, const Machine& machine) {
  return form.pp > 1 ? std::min(form.pp, machine.nodes) : 1;
}

bool form_runs(const Parallel& form, int nodes_used) {
  return form.pp == 1 && form.dp == 1 && form.ep == 1 && form.dcp == 1 && form.replicas == 1 &&
         nodes_used == 1;
}

}  // namespace tutti
