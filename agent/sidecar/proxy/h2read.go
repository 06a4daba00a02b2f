// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
)

// read takes what comes until the connection ends.
func (p *h2peer) read() {
	defer p.h.caller.guard()
	var buf []byte
	for {
		if p.r.Buffered() == 0 && cap(buf) > smallBuffer {
			buf = nil // while it is idle
		}
		var f frame
		var err error
		if f, buf, err = readFrame(p.r, buf); err == nil {
			err = p.take(&f)
		}
		if err != nil {
			p.h.lost(p, err)
			return
		}
	}
}

// take deals with one frame.
func (p *h2peer) take(f *frame) error {
	if p.block.stream != 0 && f.kind != frameContinuation {
		return h2Protocol
	}
	switch f.kind {
	case frameHeaders, frameContinuation:
		stream := f.stream
		done, err := p.block.add(f)
		if err != nil || !done {
			return err
		}
		fields, err := p.block.decode(p.decoder)
		if err != nil {
			return err
		}
		return p.h.headers(p, stream, fields, p.block.end)
	case frameData:
		content, ok := f.content()
		if !ok || f.stream == 0 {
			return h2Protocol
		}
		return p.h.data(p, f.stream, content, len(f.payload)-len(content), f.flags&flagEndStream != 0)
	case frameReset:
		if len(f.payload) != 4 {
			return h2FrameSize
		}
		p.h.resetStream(p, f.stream, h2Code(binary.BigEndian.Uint32(f.payload)))
	case frameSettings:
		if f.flags&flagAck != 0 {
			return nil
		}
		if len(f.payload)%6 != 0 {
			return h2FrameSize
		}
		return p.settings(f.payload)
	case framePing:
		if len(f.payload) != 8 {
			return h2FrameSize
		}
		p.h.ping(p, f)
	case frameGoAway:
		if len(f.payload) < 8 {
			return h2FrameSize
		}
		p.h.wentAway(p, binary.BigEndian.Uint32(f.payload)&h2MaxWindow, h2Code(binary.BigEndian.Uint32(f.payload[4:])), f.payload[8:])
	case frameWindow:
		if len(f.payload) != 4 {
			return h2FrameSize
		}
		return p.windowUpdate(f.stream, int64(binary.BigEndian.Uint32(f.payload)&h2MaxWindow))
	case framePush: // we said no
		return h2Protocol
	}
	return nil // frames of other types are to be ignored: RFC 9113, section 4.1
}

func (p *h2peer) settings(b []byte) error {
	h := p.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if !p.begun {
		p.begun, p.streams = true, h2MaxWindow
	}
	for ; len(b) > 0; b = b[6:] {
		value := binary.BigEndian.Uint32(b[2:])
		switch binary.BigEndian.Uint16(b) {
		case settingTableSize:
			p.encoder.SetMaxDynamicTableSizeLimit(min(value, 64<<10))
			p.encoder.SetMaxDynamicTableSize(min(value, 4096))
		case settingMaxStreams:
			p.streams = value
			h.tellCaller(p, settingMaxStreams, value)
		case settingConnect:
			h.tellCaller(p, settingConnect, value)
		case settingInitialWindow:
			if value > h2MaxWindow {
				return h2FlowControl
			}
			change := int64(value) - p.initial
			p.initial = int64(value)
			for _, half := range p.halves {
				half.window += change
			}
		case settingMaxFrame:
			if value < 16<<10 || value >= 1<<24 {
				return h2Protocol
			}
			p.maxFrame = int(min(value, 64<<10))
		}
	}
	p.out = appendFrame(p.out, frameSettings, flagAck, 0, nil)
	p.flush()
	return p.bound()
}

func (p *h2peer) windowUpdate(stream uint32, n int64) error {
	h := p.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if stream == 0 {
		if p.window += n; n == 0 || p.window > h2MaxWindow {
			return h2FlowControl
		}
	} else if half := p.halves[stream]; half != nil {
		if half.window += n; n == 0 || half.window > h2MaxWindow {
			return h2FlowControl
		}
		p.await(half)
	}
	p.flush()
	return nil
}
