// Loads, but is no backend.
extern "C" int tutti_something_else() {
  return 1;
}
