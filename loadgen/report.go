package loadgen

import "time"

// A Report is what became of some traffic. Reports of the shards of one run add up
// exactly: see Merge. All times are since the beginning of what was measured, after the warm-up.
type Report struct {
	Traffic            Traffic        `json:"traffic"`
	Target             string         `json:"target"` // without its password
	Started            time.Time      `json:"started"`
	Length             time.Duration  `json:"length_ns"`
	Tallies            [doKinds]Tally `json:"tallies"` // by Do
	Ticks              []Tick         `json:"ticks"`   // one a second
	Late               Histogram      `json:"late"`    // how long after its time the generator came round to a request, whatever the server did
	Connections, Depth int            // of each node; requests in flight on each
	Invalid            []string       `json:"invalid,omitempty"` // why the figures do not stand: the generator was the limit, the run was cut short ...
}

// A Tally is what became of one kind of request.
type Tally struct {
	Due               uint64    `json:"due"` // were to be sent
	Sent              uint64    `json:"sent"`
	Done              uint64    `json:"done"` // answered without error
	Hits              uint64    `json:"hits"` // reads that found the key, deletes that did
	Misses            uint64    `json:"misses"`
	Refused           uint64    `json:"refused"` // answered by an error
	Lost              uint64    `json:"lost"`    // the connection broke before the answer
	Dropped           uint64    `json:"dropped"` // never sent: too many were waiting
	BytesIn, BytesOut uint64    // of values
	Latency           Histogram `json:"latency"` // from the moment the request was due
	Service           Histogram `json:"service"` // from the moment it was sent
}

// A Tick is one second of the run: what was due, sent and answered in it.
type Tick struct {
	At                                                    time.Duration `json:"at_ns"`
	Due, Sent, Done, Hits, Misses, Refused, Lost, Dropped uint64
	Latency                                               Histogram `json:"latency"` // of what was answered in it
}
