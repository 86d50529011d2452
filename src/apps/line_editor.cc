#include "apps/line_editor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <histedit.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "apps/collector.h"
#include "apps/common.h"
#include "apps/line_history.h"
#include "base/check.h"
#include "base/utf8.h"

namespace tutti {

namespace {

constexpr int kLookMilliseconds = 100;  // how late Ctrl-C and a new window size are seen at most
constexpr std::string_view kMarkPastes = "\x1b[?2004h";
constexpr std::string_view kDoNotMarkPastes = "\x1b[?2004l";
constexpr const wchar_t* kPasteBegin = L"\x1b[200~";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";

// Bytes that are no UTF-8 travel through the editor as these surrogates, as Python has them, so
// that who gets the line can say what is wrong with it.
constexpr wchar_t kFirstRawByte = 0xDC00;

std::string narrow_text(std::wstring_view text) {
  std::string out;
  for (const wchar_t c : text) {
    if (c >= kFirstRawByte + 0x80 && c <= kFirstRawByte + 0xFF) {
      out.push_back(static_cast<char>(c - kFirstRawByte));
    } else {
      append_utf8(out, static_cast<char32_t>(c));
    }
  }
  return out;
}

/// The first character of `bytes`, taken off it. False: only the beginning of one is there.
bool take_character(std::string& bytes, wchar_t& out) {
  if (bytes.empty()) {
    return false;
  }
  const Utf8Char first = decode_utf8(bytes, 0);
  if (!first.valid && first.truncated) {
    return false;
  }
  out = first.valid ? static_cast<wchar_t>(first.code)
                    : kFirstRawByte + static_cast<unsigned char>(bytes[0]);
  bytes.erase(0, first.valid ? static_cast<size_t>(first.length) : 1);
  return true;
}

std::wstring wide_text(std::string bytes) {
  std::wstring out;
  for (wchar_t c = 0; take_character(bytes, c);) {
    out.push_back(c);
  }
  return out;
}

/// What a paste puts into the line: newlines as such, no other control characters but tabs, and no
/// newline at its end, which would only move the cursor away from the text.
std::wstring pasted_text(std::wstring_view raw) {
  std::wstring out;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == L'\r') {
      out.push_back(L'\n');
      i += i + 1 < raw.size() && raw[i + 1] == L'\n' ? 1 : 0;
    } else if (raw[i] >= L' ' ? raw[i] != 0x7F : raw[i] == L'\n' || raw[i] == L'\t') {
      out.push_back(raw[i]);
    }
  }
  if (out.ends_with(L'\n')) {
    out.pop_back();
  }
  return out;
}

class LineEditor final : public LineReader {
 public:
  explicit LineEditor(const std::string& history_file);
  ~LineEditor() override;
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  Line read(const std::string& prompt) override;
  void remember(const std::string& text) override;
  void restore_terminal() override;

 private:
  void bind_keys();
  void say_nothing();
  void look_at_terminal();
  bool next_character(wchar_t& out);

  static LineEditor& of(EditLine* edit);
  static wchar_t* prompt_of(EditLine* edit);
  static int next_character_of(EditLine* edit, wchar_t* out);
  static unsigned char paste(EditLine* edit, wint_t key);
  static unsigned char new_line(EditLine* edit, wint_t key);

  termios found_{};  // the terminal's settings before the chat
  winsize size_{};
  std::wstring prompt_;
  std::string bytes_;  // read and not yet edited
  End end_ = End::kLine;
  std::FILE* screen_;  // standard error, buffered: libedit writes single characters
  EditLine* edit_ = nullptr;
  HistoryW* history_ = nullptr;
  LineHistory file_;
};

LineEditor::LineEditor(const std::string& history_file)
    : screen_(fdopen(dup(STDERR_FILENO), "w")), file_(history_file) {
  TUTTI_CHECK(screen_ != nullptr);
  tcgetattr(STDIN_FILENO, &found_);
  ioctl(STDERR_FILENO, TIOCGWINSZ, &size_);
  // Widths of characters come from the C library. Of this program's own output nothing depends on
  // LC_CTYPE, and prompts are UTF-8 whatever LANG says.
  std::setlocale(LC_CTYPE, "C.UTF-8");  // NOLINT(concurrency-mt-unsafe): no thread asks for it
  edit_ = el_init("tutti", stdin, screen_, screen_);
  history_ = history_winit();
  HistEventW event{};
  history_w(history_, &event, H_SETSIZE, LineHistory::kMostLines);
  history_w(history_, &event, H_SETUNIQUE, 1);
  for (const std::string& line : file_.lines()) {
    history_w(history_, &event, H_ENTER, wide_text(line).c_str());
  }
  el_wset(edit_, EL_CLIENTDATA, this);
  el_wset(edit_, EL_HIST, history_w, history_);
  el_wset(edit_, EL_PROMPT, &LineEditor::prompt_of);
  el_wset(edit_, EL_GETCFN, &LineEditor::next_character_of);
  el_wset(edit_,
          EL_SETTY,
          L"-d",
          L"-inlcr",
          L"-icrnl",
          nullptr);  // else CR LF of a paste is two newlines
  bind_keys();
  say_nothing();
  std::fwrite(kMarkPastes.data(), 1, kMarkPastes.size(), stderr);
}

LineEditor::~LineEditor() {
  el_end(edit_);
  history_wend(history_);
  std::fclose(screen_);
  restore_terminal();
}

void LineEditor::restore_terminal() {
  std::fwrite(kDoNotMarkPastes.data(), 1, kDoNotMarkPastes.size(), stderr);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &found_);
}

void LineEditor::bind_keys() {
  el_wset(edit_, EL_EDITOR, L"emacs");
  el_wset(edit_, EL_ADDFN, L"tutti-paste", L"Insert a paste", &LineEditor::paste);
  el_wset(edit_, EL_ADDFN, L"tutti-newline", L"Insert a newline", &LineEditor::new_line);

  struct Key {
    const wchar_t* key;
    const wchar_t* does;
  };

  // What shells have people used to, and what keyboards send beside what terminfo knows.
  for (const Key& key : {Key{kPasteBegin, L"tutti-paste"},
                         Key{L"\x1b\r", L"tutti-newline"},
                         Key{L"\x1b\n", L"tutti-newline"},
                         Key{L"\t", L"ed-insert"},
                         Key{L"\x12", L"em-inc-search-prev"},   // Ctrl-R
                         Key{L"\x17", L"ed-delete-prev-word"},  // Ctrl-W
                         Key{L"\x1b[3~", L"ed-delete-next-char"},
                         Key{L"\x1b[H", L"ed-move-to-beg"},
                         Key{L"\x1b[1~", L"ed-move-to-beg"},
                         Key{L"\x1b[F", L"ed-move-to-end"},
                         Key{L"\x1b[4~", L"ed-move-to-end"},
                         Key{L"\x1b[1;5D", L"ed-prev-word"},
                         Key{L"\x1b[1;5C", L"em-next-word"}}) {
    el_wset(edit_, EL_BIND, key.key, key.does, nullptr);
  }
  for (wchar_t c = 0xA0; c <= 0xFF; ++c) {  // libedit takes some letters of Latin-1 for meta keys
    const std::array<wchar_t, 2> key{c, L'\0'};
    el_wset(edit_, EL_BIND, key.data(), L"ed-insert", nullptr);
  }
}

/// Between lines: Ctrl-C interrupts, nothing is echoed, and what comes is kept, however long.
void LineEditor::say_nothing() {
  termios quiet = found_;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  quiet.c_iflag &= ~static_cast<tcflag_t>(ICRNL);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
}

LineReader::Line LineEditor::read(const std::string& prompt) {
  InterruptGuard::reset();
  prompt_ = wide_text(prompt);
  end_ = End::kEnd;
  int count = 0;
  const wchar_t* line = el_wgets(edit_, &count);
  Line out{.end = end_, .text = ""};
  if (line != nullptr && count > 0) {
    std::wstring_view text(line, static_cast<size_t>(count));
    text.remove_suffix(text.ends_with(L'\n') ? 1 : 0);
    out = {.end = End::kLine, .text = narrow_text(text)};
  } else {
    std::fputs(end_ == End::kInterrupt ? "^C\n" : "\n", stderr);
  }
  say_nothing();
  return out;
}

void LineEditor::remember(const std::string& text) {
  HistEventW event{};
  history_w(history_, &event, H_ENTER, wide_text(text).c_str());
  file_.add(text);
}

/// Another size of the window; a shell that had the terminal meanwhile (Ctrl-Z, fg).
void LineEditor::look_at_terminal() {
  winsize now{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &now) == 0 &&
      (now.ws_row != size_.ws_row || now.ws_col != size_.ws_col)) {
    size_ = now;
    el_resize(edit_);
    el_wset(edit_, EL_REFRESH);
  }
  termios mode{};
  if (tcgetattr(STDIN_FILENO, &mode) == 0 && (mode.c_lflag & ICANON) != 0) {
    el_wset(edit_, EL_PREP_TERM, 0);  // it takes the terminal to be prepared already
    el_wset(edit_, EL_PREP_TERM, 1);
    std::fwrite(kMarkPastes.data(), 1, kMarkPastes.size(), stderr);
    el_wset(edit_, EL_REFRESH);
  }
}

/// False: `end_` says why there is none.
bool LineEditor::next_character(wchar_t& out) {
  while (!take_character(bytes_, out)) {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const int ready = poll(&input, 1, kLookMilliseconds);
    if (InterruptGuard::count() > 0) {
      bytes_.clear();
      end_ = End::kInterrupt;
      return false;
    }
    if (ready <= 0) {
      look_at_terminal();
      continue;
    }
    std::array<char, 4096> piece{};
    const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
      end_ = End::kEnd;
      return false;
    }
    bytes_.append(piece.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)));
  }
  return true;
}

LineEditor& LineEditor::of(EditLine* edit) {
  void* self = nullptr;
  el_wget(edit, EL_CLIENTDATA, &self);
  return *static_cast<LineEditor*>(self);
}

wchar_t* LineEditor::prompt_of(EditLine* edit) {
  return of(edit).prompt_.data();
}

int LineEditor::next_character_of(EditLine* edit, wchar_t* out) {
  return of(edit).next_character(*out) ? 1 : 0;
}

/// Reads on to the mark behind the paste. One insertion: libedit draws after each.
unsigned char LineEditor::paste(EditLine* edit, wint_t /*key*/) {
  LineEditor& self = of(edit);
  std::wstring raw;
  while (!raw.ends_with(kPasteEnd)) {
    wchar_t c = 0;
    if (!self.next_character(c)) {
      return CC_EOF;
    }
    raw.push_back(c);
  }
  raw.resize(raw.size() - kPasteEnd.size());
  return el_winsertstr(edit, pasted_text(raw).c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

unsigned char LineEditor::new_line(EditLine* edit, wint_t /*key*/) {
  return el_winsertstr(edit, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

}  // namespace

std::unique_ptr<LineReader> open_line_editor(const std::string& history_file) {
  const std::string& terminal = read_environment().terminal;
  if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1 || terminal.empty() ||
      terminal == "dumb") {
    return nullptr;
  }
  return std::make_unique<LineEditor>(history_file);
}

}  // namespace tutti
