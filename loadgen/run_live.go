package loadgen

import "sync"

// live joins the seconds of all loops, and shows each when it is complete.
type live struct {
	show    func(Tick)
	loops   int
	in      chan Tick
	running sync.WaitGroup
}

func (v *live) begin(show func(Tick), loops int) {
	v.show, v.loops = show, loops
	if show == nil {
		return
	}
	v.in = make(chan Tick, 16*loops)
	v.running.Go(func() {
		type part struct {
			tick Tick
			of   int
		}
		var parts []part // in the order of time
		for t := range v.in {
			i := 0
			for i < len(parts) && parts[i].tick.At < t.At {
				i++
			}
			if i == len(parts) {
				parts = append(parts, part{tick: Tick{At: t.At}})
			}
			if parts[i].tick.At != t.At {
				continue // of a second that was shown
			}
			parts[i].tick.Merge(&t)
			if parts[i].of++; parts[i].of < v.loops {
				continue
			}
			for _, p := range parts[:i+1] {
				v.show(p.tick)
			}
			parts = parts[i+1:]
		}
		for _, p := range parts {
			v.show(p.tick)
		}
	})
}

// add brings a loop's second. A loop never waits for whoever looks: what finds no room is not shown.
func (v *live) add(t Tick) {
	if v.in == nil {
		return
	}
	select {
	case v.in <- t:
	default:
	}
}

// end shows the rest. The loops have ended.
func (v *live) end() {
	if v.in != nil {
		close(v.in)
		v.running.Wait()
	}
}
