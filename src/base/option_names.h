// Names of options in messages. Code below src/apps does not know how an option was set: by a flag,
// by a management API, by a test. So its messages write the option's name between marks, as in
// "‹kv_memory› 0: wanted more than 0 bytes", and who shows the message spells it.
#pragma once
#include <string>
#include <string_view>

namespace tutti {

/// From "kv_memory" to what a user has to type.
using SpellOption = std::string (*)(std::string_view name);

/// "--kv-memory": as command lines spell it.
std::string as_flag(std::string_view name);

/// `text` with every ‹name› as `spell` writes it. A name is lower case letters, digits and '_';
/// marks around anything else are text.
std::string spell_options(std::string_view text, SpellOption spell);

}  // namespace tutti
