"""Which policy topics a Chinese policy text is about, paragraph by paragraph."""
