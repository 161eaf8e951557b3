package embedded

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// How much goes into one listpack of a stream: stream-node-max-entries and -bytes.
const (
	maxNodeEntries = 100
	maxNodeBytes   = 4096
)

type streamID struct{ ms, seq uint64 }

func parseID(id string) streamID {
	ms, seq, _ := strings.Cut(id, "-")
	var at streamID
	at.ms, _ = strconv.ParseUint(ms, 10, 64)
	at.seq, _ = strconv.ParseUint(seq, 10, 64)
	return at
}

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

// bytes is the ID as it stands in a radix tree.
func (id streamID) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id.ms), id.seq)
}

// A streamPack is a node of a stream: entries whose IDs are told as differences
// from the first, and whose field names, where they are those of the first
// entry, are not repeated (t_stream.c).
type streamPack struct {
	first  streamID
	fields []string
	n      int
	body   listpack
}

// streamPacks lays a stream out in nodes as a server that got every entry by
// XADD has it. Entries that were deleted leave no trace.
func streamPacks(o object) []*streamPack {
	var packs []*streamPack
	var last *streamPack
	for id, values := range o.entries() {
		if last == nil || last.n >= maxNodeEntries || last.body.size() >= maxNodeBytes {
			last = &streamPack{first: parseID(id), fields: names(values)}
			packs = append(packs, last)
		}
		last.add(parseID(id), values)
	}
	return packs
}

func names(values []string) (names []string) {
	for i := 0; i < len(values); i += 2 {
		names = append(names, values[i])
	}
	return names
}

const sameFields = 2 // flag of an entry

func (p *streamPack) add(id streamID, values []string) {
	p.n++
	before := p.body.n
	same := strings.Join(names(values), "\x00") == strings.Join(p.fields, "\x00")
	if same {
		p.body.addInt(sameFields)
	} else {
		p.body.addInt(0)
	}
	p.body.addInt(int64(id.ms - p.first.ms))
	p.body.addInt(int64(id.seq - p.first.seq))
	if !same {
		p.body.addInt(int64(len(values) / 2))
		p.body.add(values...)
	} else {
		for i := 1; i < len(values); i += 2 {
			p.body.add(values[i])
		}
	}
	p.body.addInt(int64(p.body.n - before))
}

// whole is the listpack with its head: counts and field names.
func (p *streamPack) whole() *listpack {
	var l listpack
	l.addInt(int64(p.n))
	l.addInt(0) // deleted
	l.addInt(int64(len(p.fields)))
	l.add(p.fields...)
	l.addInt(0) // end of the head
	return &listpack{append(l.body, p.body.body...), l.n + p.body.n}
}

// A streamEntry is an entry, its fields and values in turn.
type streamEntry struct {
	id     streamID
	values []string
}

const deletedEntry = 1 // flag of an entry

// readPack returns the entries of a node that live.
func readPack(first streamID, l []string) (entries []streamEntry, err error) {
	next := func() (s string) {
		if len(l) == 0 {
			err = errListpack
			return ""
		}
		s, l = l[0], l[1:]
		return s
	}
	number := func() int64 {
		n, e := strconv.ParseInt(next(), 10, 64)
		if err == nil {
			err = e
		}
		return n
	}
	live, deleted := number(), number()
	fields := make([]string, 0, 8)
	for n := number(); n > 0 && err == nil; n-- {
		fields = append(fields, next())
	}
	number()
	for total := live + deleted; total > 0 && err == nil; total-- {
		flags := number()
		e := streamEntry{id: streamID{first.ms + uint64(number()), first.seq + uint64(number())}}
		if flags&sameFields != 0 {
			for _, f := range fields {
				e.values = append(e.values, f, next())
			}
		} else {
			for n := number(); n > 0 && err == nil; n-- {
				e.values = append(e.values, next(), next())
			}
		}
		number() // for reading backwards
		if flags&deletedEntry == 0 {
			entries = append(entries, e)
		}
	}
	return entries, err
}
