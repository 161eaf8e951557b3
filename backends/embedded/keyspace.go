package embedded

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"reflect"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// miniredis has no accessor that works under its lock, which a consistent view
// of a key needs, and none for the state of a connection. So both are read,
// never written, through reflection. probe makes sure at the start that all is
// where this file expects it: another version of miniredis fails there, not in
// the middle of a command.
type shape struct {
	dbs                      []int // field of Miniredis
	selected, nested, queued []int // fields of a connection's state
	keys, ttl                []int // fields of RedisDB
	values                   map[string][]int
	entries                  []int // field of a stream
}

// Types as miniredis names them. A HyperLogLog is a string to everybody else.
const (
	typeString = "string"
	typeHash   = "hash"
	typeList   = "list"
	typeSet    = "set"
	typeZSet   = "zset"
	typeStream = "stream"
	typeHLL    = "hll"
)

func probe(srv *server.Server) (shape, error) {
	p := prober{}
	m := reflect.TypeFor[miniredis.Miniredis]()
	db := reflect.TypeFor[miniredis.RedisDB]()
	sh := shape{
		dbs:  p.field(m, "dbs", reflect.Map),
		keys: p.field(db, "keys", reflect.Map),
		ttl:  p.field(db, "ttl", reflect.Map),
		values: map[string][]int{
			typeString: p.field(db, "stringKeys", reflect.Map),
			typeHash:   p.field(db, "hashKeys", reflect.Map),
			typeList:   p.field(db, "listKeys", reflect.Map),
			typeSet:    p.field(db, "setKeys", reflect.Map),
			typeZSet:   p.field(db, "sortedsetKeys", reflect.Map),
			typeStream: p.field(db, "streamKeys", reflect.Map),
			typeHLL:    p.field(db, "hllKeys", reflect.Map),
		},
	}
	if p.err != nil {
		return sh, p.err
	}
	if stream := db.FieldByIndex(sh.values[typeStream]).Type.Elem(); stream.Kind() == reflect.Pointer {
		sh.entries = p.field(stream.Elem(), "entries", reflect.Slice)
	} else {
		return sh, fmt.Errorf("unknown miniredis: a stream is a %s", stream)
	}
	// A connection has a state from its first command on.
	peer := server.NewPeer(bufio.NewWriter(io.Discard))
	srv.Dispatch(peer, []string{"PING"})
	ctx := reflect.TypeOf(peer.Ctx)
	if ctx == nil || ctx.Kind() != reflect.Pointer {
		return sh, fmt.Errorf("unknown miniredis: the state of a connection is a %v", ctx)
	}
	sh.selected = p.field(ctx.Elem(), "selectedDB", reflect.Int)
	sh.nested = p.field(ctx.Elem(), "nested", reflect.Bool)
	sh.queued = p.field(ctx.Elem(), "transaction", reflect.Slice)
	return sh, p.err
}

type prober struct{ err error }

func (p *prober) field(t reflect.Type, name string, kind reflect.Kind) []int {
	f, ok := t.FieldByName(name)
	if (!ok || f.Type.Kind() != kind) && p.err == nil {
		p.err = fmt.Errorf("unknown miniredis: %s has no %s %s", t, kind, name)
	}
	return f.Index
}

// A state is what miniredis knows about a connection.
type state struct {
	db     int
	nested bool // a script runs it, and holds the lock of miniredis
	queues bool // between MULTI and EXEC
}

func (sh *shape) state(ctx any) state {
	if ctx == nil {
		return state{}
	}
	v := reflect.ValueOf(ctx).Elem()
	return state{
		db:     int(v.FieldByIndex(sh.selected).Int()),
		nested: v.FieldByIndex(sh.nested).Bool(),
		queues: !v.FieldByIndex(sh.queued).IsNil(),
	}
}

// A keyspace is one database of miniredis, to read under its lock. One that was
// never written to is the zero value, and empty.
type keyspace struct {
	sh *shape
	db reflect.Value
}

func (s *Server) keyspace(n int) keyspace {
	dbs := reflect.ValueOf(s.db).Elem().FieldByIndex(s.shape.dbs)
	return keyspace{&s.shape, dbs.MapIndex(reflect.ValueOf(n))}
}

// keyspaces yields every database that exists, in no order.
func (s *Server) keyspaces() iter.Seq2[int, keyspace] {
	return func(yield func(int, keyspace) bool) {
		all := reflect.ValueOf(s.db).Elem().FieldByIndex(s.shape.dbs).MapRange()
		for all.Next() {
			if !yield(int(all.Key().Int()), keyspace{&s.shape, all.Value()}) {
				return
			}
		}
	}
}

func (k keyspace) field(index []int) (v reflect.Value, ok bool) {
	if !k.db.IsValid() {
		return v, false
	}
	return k.db.Elem().FieldByIndex(index), true
}

func (k keyspace) len() int {
	keys, ok := k.field(k.sh.keys)
	if !ok {
		return 0
	}
	return keys.Len()
}

// all yields every key with its type, in no order.
func (k keyspace) all() iter.Seq2[string, string] {
	return func(yield func(key, kind string) bool) {
		keys, ok := k.field(k.sh.keys)
		if !ok {
			return
		}
		for each := keys.MapRange(); each.Next(); {
			if !yield(each.Key().String(), each.Value().String()) {
				return
			}
		}
	}
}

// kind is the type of a key, or "" when there is none.
func (k keyspace) kind(key string) string {
	keys, ok := k.field(k.sh.keys)
	if !ok {
		return ""
	}
	if v := keys.MapIndex(reflect.ValueOf(key)); v.IsValid() {
		return v.String()
	}
	return ""
}

// ttls yields the time left to every key that has a TTL.
func (k keyspace) ttls() iter.Seq2[string, time.Duration] {
	return func(yield func(string, time.Duration) bool) {
		ttl, ok := k.field(k.sh.ttl)
		if !ok {
			return
		}
		for each := ttl.MapRange(); each.Next(); {
			if !yield(each.Key().String(), time.Duration(each.Value().Int())) {
				return
			}
		}
	}
}

// value returns what a key holds. The zero object means that there is no such key.
func (k keyspace) value(key string) object {
	kind := k.kind(key)
	if kind == "" {
		return object{}
	}
	all, _ := k.field(k.sh.values[kind])
	return object{kind, k.sh, all.MapIndex(reflect.ValueOf(key))}
}

// An object is a value, to read under the lock of miniredis.
type object struct {
	kind string
	sh   *shape
	v    reflect.Value
}

func (o object) exists() bool { return o.kind != "" }

func typeName(kind string) string {
	if kind == typeHLL {
		return typeString
	}
	return kind
}

func (o object) string() string { return o.v.String() }

func (o object) len() int {
	switch o.kind {
	case typeStream:
		return o.stream().Len()
	case typeHLL:
		return 1
	}
	return o.v.Len()
}

// pairs yields the fields and values of a hash, or the members of a set, with "".
func (o object) pairs() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for each := o.v.MapRange(); each.Next(); {
			var value string
			if o.kind == typeHash {
				value = each.Value().String()
			}
			if !yield(each.Key().String(), value) {
				return
			}
		}
	}
}

func (o object) scores() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for each := o.v.MapRange(); each.Next(); {
			if !yield(each.Key().String(), each.Value().Float()) {
				return
			}
		}
	}
}

func (o object) elements() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range o.v.Len() {
			if !yield(o.v.Index(i).String()) {
				return
			}
		}
	}
}

func (o object) stream() reflect.Value { return o.v.Elem().FieldByIndex(o.sh.entries) }

// entries yields the entries of a stream: an ID, fields and values in turn.
func (o object) entries() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		all := o.stream()
		for i := range all.Len() {
			entry := all.Index(i)
			values := entry.FieldByName("Values")
			list := make([]string, values.Len())
			for j := range list {
				list[j] = values.Index(j).String()
			}
			if !yield(entry.FieldByName("ID").String(), list) {
				return
			}
		}
	}
}
