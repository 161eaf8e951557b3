package purge

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of trouble that a caller can do something about. Providers wrap
// them, whatever the API's own words were.
var (
	// ErrAuth says that the provider wants other credentials.
	ErrAuth = errors.New("authentication failed")
	// ErrDenied says that these credentials may not do that.
	ErrDenied = errors.New("permission denied")
	// ErrUnknown says that there is no such target or purge.
	ErrUnknown = errors.New("not found")
	// ErrSettings says that Settings do not fit the provider.
	ErrSettings = errors.New("bad settings")
	// ErrNotSent is the reason of items that no call carried, because the run
	// ended before.
	ErrNotSent = errors.New("not sent")
	// ErrJournal says that the journal cannot be read or written.
	ErrJournal = errors.New("journal failed")
)

// A Fault says what a failed call calls for.
type Fault string

// The faults. Any other error is final for the call's items.
const (
	Throttled   Fault = "throttled"       // too fast: later again
	Busy        Fault = "busy"            // too much under way: later again, and less at once
	Unavailable Fault = "unavailable"     // no answer, half an answer, 5xx: again
	TooLarge    Fault = "batch too large" // again in smaller calls
	Rejected    Fault = "rejected"        // an item is refused, and the provider does not say which
	Forbidden   Fault = "forbidden"       // every other call to this target fails alike
)

// A CallError is an error of Do that says what to do about it.
type CallError struct {
	Fault      Fault
	RetryAfter time.Duration // the provider's own word; 0: none
	Size       int           // TooLarge: items a call to go on with; 0: half
	Budgets    []Budget      // as in Receipt
	Hint       string        // for people; may be empty
	Err        error
}

func (e *CallError) Error() string { return e.Err.Error() }
func (e *CallError) Unwrap() error { return e.Err }

// A HintError is an error that says how it is mended.
type HintError struct {
	Err  error
	Hint string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Hint is the hint that err carries, or "".
func Hint(err error) string {
	var hinted *HintError
	var call *CallError
	var refusal *Refusal
	switch {
	case errors.As(err, &hinted):
		return hinted.Hint
	case errors.As(err, &call):
		return call.Hint
	case errors.As(err, &refusal):
		return refusal.Instead
	}
	return ""
}

// A Notice says that a run goes on otherwise than planned. In a stream it is
// not the end, and nothing is lost by it.
type Notice struct {
	Target string
	What   string        // "goes on with 30 items a call"
	Wait   time.Duration // until the target is asked again; 0: at once
	Err    error         // what made it so
}

func (e *Notice) Error() string { return fmt.Sprintf("%s: %s: %v", e.Target, e.What, e.Err) }
func (e *Notice) Unwrap() error { return e.Err }

// Ends tells whether err, met in a stream, is the end of that stream.
func Ends(err error) bool {
	var notice *Notice
	return err != nil && !errors.As(err, &notice)
}

// An UnsupportedError says that a provider lacks a capability.
type UnsupportedError struct {
	Purger     string // its Name
	Capability string // name of the interface: "Waiter"
}

func (e *UnsupportedError) Error() string {
	can, ok := abilities[e.Capability]
	if !ok {
		can = "do this (" + e.Capability + ")"
	}
	return e.Purger + " cannot " + can
}

// What each capability lets a person do, for UnsupportedError.
var abilities = map[string]string{
	"Waiter":   "tell when a purge is complete",
	"Statuser": "tell the status of a purge",
	"Lister":   "list purges",
}
