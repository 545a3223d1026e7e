// Empty: see arch_specific.h.
