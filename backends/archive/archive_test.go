package archive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cachectl/cachectl/backends"
)

var testHeader = Header{Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Target: "redis://h", Run: "r1"}

// some are records of all kinds.
func some(n int) []backends.Record {
	var all []backends.Record
	for i := range n {
		r := backends.Record{Key: fmt.Sprintf("key\x00%d", i), Form: "rdb", Type: "string", Value: bytes.Repeat([]byte{byte(i)}, i*7%50)}
		switch i % 5 {
		case 0:
			r.Expires, r.Have = time.UnixMilli(1_800_000_000_000+int64(i)), backends.FactTTL
		case 1:
			r.Idle, r.Have = time.Duration(i)*time.Second, backends.FactIdle|backends.FactTTL
		case 2:
			r.Freq, r.Have = int64(i), backends.FactFreq
		case 3:
			r.Flags, r.Form, r.Shard = uint32(i), "memcached", "h:11211"
		case 4:
			r.Part, r.More = i, true
		}
		all = append(all, r)
	}
	return all
}

// written makes a file with a block for each group of records.
func written(t testing.TB, groups ...[]backends.Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b")
	w, err := Create(path, testHeader)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if err := errors.Join(w.Append(g...), w.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, b []byte) ([]backends.Record, error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Header != testHeader {
		t.Fatalf("header %+v", r.Header)
	}
	var all []backends.Record
	for batch, err := range r.Batches() {
		if err != nil {
			return all, err
		}
		all = append(all, batch.Records...)
	}
	return all, nil
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	all := some(40)
	big := backends.Record{Key: "big", Form: "string", Value: bytes.Repeat([]byte("0123456789abcdef"), 2<<20)}
	path := written(t, all[:10], all[10:], []backends.Record{big}, nil)
	got, err := read(t, contents(t, path))
	if err != nil || !reflect.DeepEqual(append(all, big), got) {
		t.Errorf("%d records, %v", len(got), err)
	}
	if _, err := Create(path, testHeader); !errors.Is(err, os.ErrExist) {
		t.Errorf("a backup was overwritten: %v", err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// TestTorn cuts a file at every byte: all whole blocks come, and the error says the rest.
func TestTorn(t *testing.T) {
	all := some(15)
	file := contents(t, written(t, all[:5], all[5:10], all[10:]))
	most := 0
	for n := range len(file) {
		got, err := read(t, file[:n])
		if errors.Is(err, ErrNotBackup) && most == 0 {
			continue
		}
		var torn *TornError
		if !errors.As(err, &torn) || !torn.Unended || len(got)%5 != 0 || len(got) < most {
			t.Fatalf("cut at %d: %d records, %v", n, len(got), err)
		}
		if torn.At+torn.Bytes != int64(n) || torn.Records != 0 && torn.Records != 5 {
			t.Fatalf("cut at %d: %+v", n, torn)
		}
		most = len(got)
		if diff := cmp.Diff(all[:len(got):len(got)], got); len(got) > 0 && diff != "" {
			t.Fatalf("cut at %d: %s", n, diff)
		}
	}
	if most != len(all) {
		t.Errorf("%d records without the end block", most)
	}
}

// TestFlipped flips every byte: no other record comes, and those lost are counted.
func TestFlipped(t *testing.T) {
	all := some(15)
	file := contents(t, written(t, all[:5], all[5:10], all[10:]))
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for _, bits := range []byte{0xff, 1, 0x80} {
			bad := bytes.Clone(file)
			bad[i] ^= bits
			got, err := read(t, bad)
			if int64(i) < r.first {
				if !errors.Is(err, ErrNotBackup) || len(got) > 0 {
					t.Fatalf("byte %d of the header: %v", i, err)
				}
				continue
			}
			var torn *TornError
			if !errors.As(err, &torn) || torn.Bytes <= 0 {
				t.Fatalf("byte %d: %v", i, err)
			}
			want := all
			if lost := int(torn.Records); torn.Unended { // the end block itself
				if lost != 0 || len(got) != len(all) {
					t.Fatalf("byte %d: %d records, %+v", i, len(got), torn)
				}
			} else if lost != 5 || len(got) != 10 {
				t.Fatalf("byte %d: %d records, %+v", i, len(got), torn)
			} else {
				hit := 0
				for hit < 10 && got[hit].Key == all[hit].Key {
					hit++
				}
				want = append(append([]backends.Record(nil), all[:hit]...), all[hit+5:]...)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("byte %d: %s", i, diff)
			}
		}
	}
}

// TestBackupInBackup: a value that is a backup is not read as a part of this one, also
// where the block around it is damaged.
func TestBackupInBackup(t *testing.T) {
	inner := contents(t, written(t, some(3)))
	file := contents(t, written(t, []backends.Record{{Key: "outer", Value: inner}}, some(2)))
	at := bytes.Index(file, inner[len(inner)-20:])
	if at < 0 {
		at = len(file) / 2
	}
	file[at-1] ^= 1
	got, err := read(t, file)
	var torn *TornError
	if len(got) != 2 || !errors.As(err, &torn) || torn.Records != 1 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

func TestResume(t *testing.T) {
	all := some(20)
	for _, cut := range []int64{0, 1, 20, headSize, headSize + 1, headSize + 30} { // off the end, which is headSize long
		path := written(t, all[:5], all[5:10])
		size := int64(len(contents(t, path)))
		if err := os.Truncate(path, size-cut); err != nil {
			t.Fatal(err)
		}
		w, h, n, err := Resume(path)
		if err != nil || h.Run != "r1" {
			t.Fatal(h, err)
		}
		if want := int64(10); n != want && cut <= headSize || n != 5 && cut > headSize {
			t.Errorf("cut %d: %d records are there", cut, n)
		}
		if err := errors.Join(w.Append(all[10:]...), w.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := read(t, contents(t, path))
		if diff := cmp.Diff(append(all[:n:n], all[10:]...), got); err != nil || diff != "" {
			t.Errorf("cut %d: %v\n%s", cut, err, diff)
		}
	}
	other := filepath.Join(t.TempDir(), "x")
	os.WriteFile(other, []byte(strings.Repeat("x", 1000)), 0o600)
	if _, _, _, err := Resume(other); !errors.Is(err, ErrNotBackup) {
		t.Errorf("%v", err)
	}
	if b := contents(t, other); len(b) != 1000 {
		t.Error("a file of somebody else was cut")
	}
}

// TestBombs: what unpacks to more than it says, and what says more than may be, are lost
// blocks.
func TestBombs(t *testing.T) {
	path := written(t)
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := newWriter(nil)
	zeros := w.pack.EncodeAll(make([]byte, 64<<20), nil)
	for _, h := range []head{
		{open: 100}, {open: 64<<20 - 1}, {open: mostBlock}, {open: mostBlock + 1}, {open: 1<<32 - 1},
		{open: 64 << 20, records: 1 << 31},
	} {
		h.kind, h.id, h.records, h.packed, h.sum = kindRecords, r.id, max(h.records, 1), uint32(len(zeros)), checksum(zeros)
		file := append(contents(t, path)[:r.first:r.first], append(h.append(nil), zeros...)...)
		got, err := read(t, file)
		var torn *TornError
		if len(got) > 0 || !errors.As(err, &torn) {
			t.Errorf("%+v: %d records, %v", h, len(got), err)
		}
	}
}

func FuzzReader(f *testing.F) {
	file := contents(f, written(f, some(5), some(5)))
	f.Add(file, 0)
	f.Add(file[:len(file)-30], 3)
	f.Fuzz(func(t *testing.T, b []byte, _ int) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer r.Close()
		for _, err := range r.Batches() {
			var torn *TornError
			if err != nil && !errors.As(err, &torn) {
				t.Fatal(err)
			}
		}
	})
}

// FuzzRecords reads what checksums do not protect from: a block that somebody made up.
func FuzzRecords(f *testing.F) {
	var b []byte
	all := some(6)
	for i := range all {
		b = appendRecord(b, &all[i])
	}
	f.Add(b, 6)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > len(b)/leastRecord {
			return
		}
		records, err := parseRecords(b, n)
		if err != nil {
			return
		}
		var again []byte
		for i := range records {
			again = appendRecord(again, &records[i])
		}
		back, err := parseRecords(again, n)
		if diff := cmp.Diff(records, back); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	value := make([]byte, 1024)
	for i := range value {
		value[i] = byte(i * i >> 3)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "b"))
	if err != nil {
		b.Fatal(err)
	}
	w, err := NewWriter(f, testHeader)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1024)
	for b.Loop() {
		w.Append(backends.Record{Key: "session:123456", Form: "string", Type: "string", Value: value})
	}
	w.Close()
}
