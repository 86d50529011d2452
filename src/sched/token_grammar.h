// Where grammars come in: per sequence, which tokens may come next. The engine knows nothing of
// what a grammar is; who calls what when is in docs/engine-contract.md.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

namespace tutti {

/// The place of one sequence in its grammar. Engine thread only: must not block, and not allocate
/// once it has seen a few tokens.
class GrammarState {
 public:
  virtual ~GrammarState() = default;

  /// Sets bit t % 32 of mask[t / 32] for each token t that may come after those accepted, EOS and
  /// stop ids included where the text may end. `mask` comes zeroed, one bit per id of the
  /// vocabulary. If it stays so the sequence ends with kInvalidArgument.
  virtual void fill_mask(std::span<uint32_t> mask) = 0;

  /// The output goes on with `token`; never called for what ends the sequence. False if the token
  /// was not allowed, which is a bug of the runner or of this class: the sequence ends with
  /// kInternal.
  virtual bool accept(int32_t token) = 0;
};

/// A compiled grammar, shared by all choices of a request and by requests alike. Immutable,
/// thread-safe.
class TokenGrammar {
 public:
  virtual ~TokenGrammar() = default;

  /// The beginning of the output. Cheap: called on the engine thread.
  virtual std::unique_ptr<GrammarState> start() const = 0;
};

}  // namespace tutti
