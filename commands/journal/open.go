package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/cachectl/cachectl/backends"
)

// longestLine bounds what a line of a journal may take: a page of long names.
const longestLine = 1 << 30

var errNoJournal = errors.New("it is no journal of this program")

// Open opens a journal to go on with its run. Half a line at its end, which a crash
// leaves, is cut off; anything else that makes no sense is an error.
func Open(path string) (*Journal, *State, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, nil, &Error{path, err}
	}
	s, whole, err := read(f)
	if err == nil {
		if err = f.Truncate(whole); err == nil {
			_, err = f.Seek(whole, io.SeekStart)
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, &Error{path, err}
	}
	j := &Journal{path: path, file: f, out: bufio.NewWriterSize(f, 1<<20)}
	if s.Unsaid > 0 {
		j.write(record{Unsaid: s.Unsaid})
	}
	for _, shard := range slices.Sorted(maps.Keys(s.Again)) { // what the file does not tell who reads on
		j.write(record{Did: &shard, Again: true})
	}
	return j, s, nil
}

// Read tells what a journal says, and leaves it alone.
func Read(path string) (*State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	s, _, err := read(f)
	if err != nil {
		return nil, &Error{path, err}
	}
	return s, nil
}

// read returns the state and how many bytes of whole lines there are.
func read(r io.Reader) (*State, int64, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	s, whole := NewState(), int64(0)
	ready := false
	for n := 1; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break // half a line counts for nothing
		}
		if err != nil {
			return nil, 0, err
		}
		if n == 1 {
			err = s.head(line)
		} else {
			var rec record
			if err = json.Unmarshal(line, &rec); err == nil {
				ready = ready || rec.Ready
				err = s.apply(rec)
			}
		}
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		whole += int64(len(line))
	}
	switch {
	case whole == 0:
		return nil, 0, errNoJournal
	case !ready:
		return nil, 0, errors.New("the run had not begun: nothing was changed")
	}
	s.List = s.List[min(s.settled, len(s.List)):]
	if s.Ended == "" {
		s.Unsaid += max(0, s.open)
	}
	for shard, beyond := range s.beyond {
		if beyond {
			s.Again[shard] = true
		}
	}
	s.begun, s.beyond, s.later = make(map[string]bool), make(map[string]bool), true
	return s, whole, nil
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longestLine {
			return nil, errNoJournal
		}
	}
}

func (s *State) head(line []byte) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	if err := dec.Decode(&s.Head); err != nil || s.Version == 0 {
		return errNoJournal
	}
	if s.Version != Version {
		return fmt.Errorf("its format is version %d, and this program reads %d", s.Version, Version)
	}
	return nil
}

// mostPasses bounds what a line may claim.
const mostPasses = 1 << 20

// apply is what a line means.
func (s *State) apply(r record) error {
	if r.Pass < 0 || r.Pass > mostPasses || r.Skip < 0 || r.Unsaid < 0 {
		return errors.New("a number that no run writes")
	}
	for _, key := range r.List {
		s.List = append(s.List, string(key))
	}
	if r.Pass > 0 {
		s.Begin(r.Pass)
		s.Ended = ""
	}
	if r.Did != nil {
		for did, n := range r.Count {
			s.open -= n
			s.count(*r.Did, backends.Verb(did), n)
		}
		for _, f := range r.Failed {
			s.Failures = append(s.Failures, backends.Outcome{Key: string(f.Key), Did: backends.Failed, Err: errors.New(f.Error)})
		}
		if r.After != "" {
			s.Marks[*r.Did] = r.After
		}
		if r.Again {
			s.Again[*r.Did] = true
		}
		s.beyond[*r.Did] = r.After == "" && r.Skip == 0 && (len(r.Count) > 0 || s.beyond[*r.Did])
	}
	if r.Skip > 0 {
		clear(s.beyond) // of a list, whose keys are settled in order
	}
	s.settled += r.Skip
	for _, key := range r.Redo { // they stood among those that are skipped, and go to the end
		s.List = append(s.List, string(key))
	}
	switch {
	case r.Will != nil:
		s.open, s.Ended = s.open+int64(len(r.Keys)), ""
	case r.Unsaid > 0:
		s.open, s.Unsaid = 0, r.Unsaid
	case r.End != "":
		s.open, s.Ended = 0, r.End
	}
	return nil
}
