// Package source reads what a cache is to be filled with, as one stream of records in
// portable forms, whatever it comes from. It knows files, tables and backups, and
// nothing about the caches that records go to, nor about pace and journals.
//
//	NDJSON | CSV | RESP | Query | Backup -> Item, Item, *BadRecord, Item ... -> ByHeat -> a Loader
//
// Memory does not grow with the input: a record above a bound is a bad record. A source
// may be read from the Offset of any of its items, so that a run which was killed goes on
// behind what it did.
package source

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/cachectl/cachectl/backends"
)

// An Item is a record and where it stood. Key and Value share memory with their
// neighbours: who keeps few of many clones them.
//
// Record.Have says FactTTL where the source told when the key expires, or that it never
// does; otherwise the source does not know.
type Item struct {
	backends.Record
	Line   int64   // where it began, from 1: the line of a text, the number of a row, command or record
	Offset Offset  // goes on behind this item when handed back in Options.From
	Heat   float64 // higher is hotter, of this source only; NaN: not known
}

// A Stream brings items in the order of the source. A *BadRecord stands in for a record
// that cannot be used, and the stream goes on; any other error is the end of it. What
// came before is whole.
type Stream = iter.Seq2[Item, error]

// An Offset is a place in a source, good for the same source with the same options.
type Offset struct {
	Byte int64 // of the input, unpacked
	Line int64 // that ends there
	Skip int64 // items that began there and are behind us
}

// String writes an Offset for ParseOffset.
func (o Offset) String() string {
	return fmt.Sprintf("%d:%d:%d", o.Byte, o.Line, o.Skip)
}

// ParseOffset reads what String wrote.
func ParseOffset(text string) (o Offset, err error) {
	numbers := strings.Split(text, ":")
	if len(numbers) != 3 {
		return o, fmt.Errorf("%q is no offset of a source", text)
	}
	for i, n := range []*int64{&o.Byte, &o.Line, &o.Skip} {
		if *n, err = strconv.ParseInt(numbers[i], 10, 64); err != nil || *n < 0 {
			return Offset{}, fmt.Errorf("%q is no offset of a source", text)
		}
	}
	return o, nil
}

// Options are what every source takes.
type Options struct {
	From      Offset           // where to go on; zero: the beginning
	MaxRecord int              // bytes of one record; 0: DefaultMaxRecord
	Now       func() time.Time // what a TTL counts from; nil: time.Now
}

// DefaultMaxRecord bounds a record where Options do not. It also bounds memory.
const DefaultMaxRecord = 64 << 20

func (o *Options) complete() {
	if o.MaxRecord <= 0 {
		o.MaxRecord = DefaultMaxRecord
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// A BadRecord is a record of the source that cannot be used.
type BadRecord struct {
	Line   int64
	Key    string // where it is known
	Reason string
	Raw    []byte // as it stood, or its beginning; see Item for its memory
	Offset Offset // behind it
}

func (e *BadRecord) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("record %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("record %d, key %q: %s", e.Line, e.Key, e.Reason)
}

// Ends tells whether err, met in a Stream, is the end of it.
func Ends(err error) bool {
	var bad *BadRecord
	return backends.Ends(err) && !errors.As(err, &bad)
}

// pass yields an item, or the bad record that its reason makes of it.
func pass(yield func(Item, error) bool, it *Item, why error, raw []byte) bool {
	if why == nil {
		return yield(*it, nil)
	}
	return yield(Item{}, &BadRecord{Line: it.Line, Key: it.Key, Reason: why.Error(), Raw: raw, Offset: it.Offset})
}
