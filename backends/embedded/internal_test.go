package embedded

import (
	"testing"

	"github.com/cachectl/cachectl/backends"
)

// Two matchers written apart agree.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b", "axxb"}, {"[^a-c]?", "zz"}, {`\`, `\`}, {"[", "a"}, {"[a-", "a"}, {"**", ""}, {"a**", "a"}, {"[\x80-a]", "\xff"}, {"[]", "]"}, {`[\`, `\`}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if got, want := glob(pattern, key), backends.Match(pattern, key); got != want {
			t.Errorf("%q matches %q: %t here, %t by backends.Match", pattern, key, got, want)
		}
	})
}

func TestChecksum(t *testing.T) {
	if got := checksum([]byte("123456789")); got != 0xe9c6d914c4b8d9ca { // the check value in crc64.c
		t.Errorf("checksum is %x", got)
	}
}

// Size classes of jemalloc, from its manual.
func TestAllocated(t *testing.T) {
	for n, want := range map[int]int{1: 8, 9: 16, 17: 32, 112: 112, 129: 160, 161: 192, 257: 320, 1025: 1280, 8193: 10240, 1 << 20: 1 << 20, 1<<20 + 1: 1280 << 10} {
		if got := allocated(n); got != want {
			t.Errorf("%d bytes take %d, want %d", n, got, want)
		}
	}
}
