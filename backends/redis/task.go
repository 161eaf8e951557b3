package redis

import (
	"strings"

	"github.com/cachectl/cachectl/backends"
)

// A task is what is to be done with keys: which command goes for one, and how its
// answer reads. Everything else is the remover's: nodes, slots that move,
// connections that break, keys that are refused one by one.
type task struct {
	verb string // the command that every node is asked with first
	// grouped tells that keys without a guard share a command: its name is the verb,
	// and its answer says for how many of them it did something.
	grouped bool
	did     backends.Verb // of a key that something was done with
	// command is that for one key.
	command func(verb string, p *part, n int) []string
	// read reads the answer to it. An answer that is none to this command gives no
	// verb; ask says that the key is kept or gone, and only another look tells which.
	read func(p *part, n int, answer reply) (did backends.Verb, ask bool)
	// instead is the way out where a server refuses the verb, "" where there is none;
	// and what is to be told of that.
	instead func(verb string, refusal error) (other, why string)
	// check refuses entries before anything is sent. Nil: all are fine.
	check func(e *backends.Entry) error
}

// unlinking is the task of Delete.
var unlinking = task{
	verb:    unlink,
	grouped: true,
	did:     backends.Deleted,
	command: func(verb string, p *part, n int) []string {
		key, guard := p.outcome(n).Key, p.guardOf(n)
		if guard == "" {
			return []string{verb, key}
		}
		return guardedCommand(verb, key, guard)
	},
	read: func(p *part, n int, answer reply) (did backends.Verb, ask bool) {
		guard := p.guardOf(n)
		switch {
		case guard != "" && classify(answer.err) == wrongType:
			return backends.Kept, false
		case answer.err != nil, !sensible(guard, answer):
			return "", false
		case guard != "":
			return verdict(guard, answer)
		case answer.num > 0:
			return backends.Deleted, false
		}
		return backends.Gone, false
	},
	instead: func(verb string, refusal error) (other, why string) {
		if verb == del || !refused(refusal) {
			return "", ""
		}
		return del, "keys are removed by DEL: the server stands still while it frees a big one"
	},
}

// sensible tells whether an answer can be that to the unlinking of one key.
func sensible(guard string, r reply) bool {
	least := int64(0)
	if strings.HasPrefix(guard, guardDump) {
		least = -1
	}
	return counted(r, least, 1)
}

// counted tells whether an answer is a number within bounds.
func counted(r reply, least, most int64) bool {
	return r.err == nil && r.kind == ':' && least <= r.num && r.num <= most
}
