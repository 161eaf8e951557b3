package backends

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
)

func TestPortableValues(t *testing.T) {
	var list, hash, zset []byte
	elements := []string{"", "a", "\x00\r\n", string(bytes.Repeat([]byte("x"), 300))}
	for i, e := range elements {
		list = AppendElement(list, e)
		hash = AppendPair(hash, e, elements[len(elements)-1-i])
	}
	scores := []float64{0, -1.5, math.Inf(1), math.Inf(-1)}
	for i, e := range elements {
		zset = AppendScored(zset, []byte(e), scores[i])
	}
	var gotList, gotHash, gotZSet []string
	var gotScores []float64
	if err := errors.Join(
		EachElement(list, func(e []byte) { gotList = append(gotList, string(e)) }),
		EachPair(hash, func(f, v []byte) { gotHash = append(gotHash, string(f), string(v)) }),
		EachScored(zset, func(m []byte, s float64) { gotZSet = append(gotZSet, string(m)); gotScores = append(gotScores, s) }),
	); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotList, elements) || !reflect.DeepEqual(gotZSet, elements) || !reflect.DeepEqual(gotScores, scores) {
		t.Errorf("%q, %q, %v", gotList, gotZSet, gotScores)
	}
	if want := []string{"", elements[3], "a", elements[2], elements[2], "a", elements[3], ""}; !reflect.DeepEqual(gotHash, want) {
		t.Errorf("%q", gotHash)
	}
	for form, value := range map[string][]byte{FormList: list, FormSet: list, FormHash: hash, FormZSet: zset} {
		if n, err := Elements(form, value); n != 4 || err != nil || !Portable(form) {
			t.Errorf("%s: %d elements, %v", form, n, err)
		}
	}
	if n, err := Elements(FormString, []byte{0xff}); n != 1 || err != nil {
		t.Errorf("a string has %d elements, %v", n, err)
	}
	if Portable("rdb") || Portable("commands") || Portable("") {
		t.Error("a backend's own form is portable")
	}
}

// TestPortableValuesThatAreNone: nothing of a broken value is visited.
func TestPortableValuesThatAreNone(t *testing.T) {
	fine := AppendElement(nil, "fine")
	for name, value := range map[string][]byte{
		"cut":        append(bytes.Clone(fine), 5, 'a'),
		"no length":  append(bytes.Clone(fine), 0x80),
		"too long":   append(bytes.Clone(fine), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"overflowed": append(bytes.Clone(fine), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
	} {
		if err := EachElement(value, func([]byte) { t.Errorf("%s: visited", name) }); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := EachPair(fine, func(_, _ []byte) { t.Error("visited") }); !errors.Is(err, ErrForm) {
		t.Error(err)
	}
	for _, value := range [][]byte{fine, append(AppendScored(nil, "a", 1), fine...), AppendScored(nil, "a", math.NaN())} {
		if err := EachScored(value, func([]byte, float64) { t.Error("visited") }); !errors.Is(err, ErrForm) {
			t.Error(err)
		}
	}
	for _, value := range []string{
		"", "*", "*0\r\n", "*1", "*1\r\n", "*1\r\n$1\r\na", "*1\r\n$1\r\na\r\nx", "*1\r\n$2\r\na\r\n", "*1\n$1\na\n", "+OK\r\n",
		"*-1\r\n", "*1\r\n$-1\r\n", "*2\r\n$1\r\na\r\n", "*999999999999999\r\n$1\r\na\r\n", "*1\r\n$99999999999\r\na\r\n", "*1\r\n$\r\n\r\n",
	} {
		if args, err := Command([]byte(value)); !errors.Is(err, ErrForm) {
			t.Errorf("%q is a command: %q, %v", value, args, err)
		}
	}
}

// FuzzPortable: what a decoder takes comes back as it was written, in the shortest form
// at least, and nothing breaks it.
func FuzzPortable(f *testing.F) {
	f.Add(AppendElement(AppendElement(nil, "a"), "bc"))
	f.Add(AppendScored(nil, "a", math.Inf(-1)))
	f.Add(AppendCommand(nil, "SET", "k", ""))
	f.Add([]byte{0x80, 0x00})
	f.Fuzz(func(t *testing.T, value []byte) {
		same := func(name string, err error, again []byte, check func([]byte) []byte) {
			if err == nil && (len(again) > len(value) || !bytes.Equal(check(again), again)) {
				t.Fatalf("%s: %q became %q", name, value, again)
			} else if err != nil && (!errors.Is(err, ErrForm) || again != nil) {
				t.Fatalf("%s: %v, and %q was visited", name, err, again)
			}
		}
		elements := func(v []byte) (b []byte, err error) {
			err = EachElement(v, func(e []byte) { b = AppendElement(b, e) })
			return b, err
		}
		pairs := func(v []byte) (b []byte, err error) {
			err = EachPair(v, func(e, c []byte) { b = AppendPair(b, e, c) })
			return b, err
		}
		scored := func(v []byte) (b []byte, err error) {
			err = EachScored(v, func(e []byte, s float64) { b = AppendScored(b, e, s) })
			return b, err
		}
		for name, decode := range map[string]func([]byte) ([]byte, error){"elements": elements, "pairs": pairs, "scored": scored} {
			again, err := decode(value)
			same(name, err, again, func(b []byte) []byte { b, _ = decode(b); return b })
		}
		if args, err := Command(value); err == nil {
			again := AppendCommand(nil, args...)
			same("command", nil, again, func(b []byte) []byte { args, _ := Command(b); return AppendCommand(nil, args...) })
		}
	})
}
