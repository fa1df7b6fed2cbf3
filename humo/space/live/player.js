// The live player: what is spoken goes to the server as it is said, and comes back as pictures with their sound, which
// are played in step on the clock of the sound. Runs in a gr.HTML, which gives element, props, trigger and watch.
const part = (name) => element.querySelector(`[data-live=${name}]`);
const [start, stop, pause, sound, canvas, status] =
    ['start', 'stop', 'pause', 'sound', 'canvas', 'status'].map(part);
const paint = canvas.getContext('2d');
const address = (id, path) =>
    new URL(`${new URL(window.gradio_config?.root ?? '.', document.baseURI).pathname.replace(/\/$/, '')}/live/${id}/${path}`,
        location.origin);
const MARGIN = 0.2, MORE = 0.05, MOST_MARGIN = 0.35;  // seconds from a piece's coming to its playing: as much may the
// next one be late; more after each that was later
const LATENT = 4 / 25;  // seconds of sound that are sent at once: pieces begin and end at multiples of it
const MOST_UNSENT = 2;  // seconds of sound that wait for a lost connection; what is older is left out
const PATIENCE = 20;  // seconds without an answer after which it is given up
const QUIET_FOR = 6;  // seconds of silence after which the microphone is doubted
const RECORDER = `registerProcessor('recorder', class extends AudioWorkletProcessor {
    constructor() {
        super();
        this.part = new Float32Array(512);
        this.filled = 0;
        this.isOn = true;
        this.port.onmessage = (message) => { this.isOn = message.data; this.filled = 0; };
    }
    process([channels]) {
        if (!this.isOn) return true;
        for (let at = 0; at < 128; at++) {
            let sum = 0;
            for (const channel of channels) sum += channel[at];
            this.part[this.filled++] = channels.length ? sum / channels.length : 0;
        }
        if (this.filled === this.part.length) {
            this.port.postMessage({samples: this.part.slice(), time: currentTime + 128 / sampleRate});
            this.filled = 0;
        }
        return true;
    }
});`;
const NO_MICROPHONE = {
    NotAllowedError: 'The microphone was refused: allow it for this page in the browser, or choose the voice above.',
    NotFoundError: 'There is no microphone here: plug one in, or choose the voice above.',
    NotReadableError: 'The microphone is in use by another program: close that one, or choose the voice above.',
};
const NO_SOUND = 'Browsers give no microphone to a page without https: open it so, or at 127.0.0.1.';
const SILENT = 'Nothing is heard: is the microphone muted, or the wrong one chosen?';
const LOST = 'The connection is lost, trying again: what you say meanwhile is left out.';

let session = null, nonce = null;

const say = (words) => { if (status.textContent !== words) status.textContent = words; };
const tell = (values) => {
    for (const [name, value] of Object.entries(values)) {
        const field = part(`told-${name}`);
        if (field && field.textContent !== value) field.textContent = value;
    }
};
const show = (isLive) => {
    start.hidden = isLive;
    stop.hidden = pause.hidden = !isLive;
    pause.textContent = 'Pause';
    pause.setAttribute('aria-pressed', 'false');
    part('shown').hidden = false;
    for (const choice of element.querySelectorAll('[data-live=source]')) choice.disabled = isLive;
};

const begin = async () => {
    if (session) return;
    const source = element.querySelector('[data-live=source]:checked').value;
    if (!window.isSecureContext || !window.AudioWorkletNode) return say(NO_SOUND);
    const context = new AudioContext({latencyHint: 'interactive'});
    const own = session = {
        context, source, id: null, stream: null, isOver: false, isPaused: false, isLost: false, isAnchored: false,
        unsent: [], numUnsent: 0, next: 0, marks: [], quietSince: 0, heardAt: performance.now(),
        last: -2, endsAt: 0, slacks: [], queue: [], loudest: 0,
        margin: MARGIN, underruns: 0, losses: 0, leftOut: 0, caughtUp: 0, most: 0, voiceEnds: Infinity,
    };
    show(true);
    say('Waiting for the microphone.');
    try {
        await context.resume();
        if (source === 'microphone') {
            own.stream = await navigator.mediaDevices.getUserMedia(
                {audio: {echoCancellation: true, noiseSuppression: true, autoGainControl: true}});
        }
        const code = URL.createObjectURL(new Blob([RECORDER], {type: 'text/javascript'}));
        await context.audioWorklet.addModule(code);
        URL.revokeObjectURL(code);
    } catch (error) {
        return end(own, NO_MICROPHONE[error.name] ?? `The microphone cannot be used (${error.message}).`);
    }
    if (own.isOver) return end(own, 'Stopped.');
    say('Drawing the person.');
    trigger('click', {rate: context.sampleRate, source});
};

// The server's answer: an id, or the sentence that says why there is none.
const answered = () => {
    const value = props.value;
    const own = session;
    if (!value || value.nonce === nonce) return;
    nonce = value.nonce;
    if (!own || own.id) return halt(value);  // stopped meanwhile
    if (value.error) return end(own, value.error);
    own.id = value.id;
    own.heardAt = performance.now();
    receive(own);
};

const record = async (own) => {
    const {context} = own;
    const recorder = own.recorder = new AudioWorkletNode(context, 'recorder', {numberOfOutputs: 1});
    const mute = new GainNode(context, {gain: 0});
    recorder.connect(mute).connect(context.destination);  // a node that leads nowhere may rest
    own.gain = new GainNode(context, {gain: sound.checked ? 1 : 0});
    own.gain.connect(context.destination);
    recorder.port.onmessage = ({data}) => keep(own, data);
    if (own.source === 'microphone') {
        context.createMediaStreamSource(own.stream).connect(recorder);
        own.stream.getAudioTracks()[0].onended = () => end(own, 'The microphone was taken away.');
    } else {
        const file = await (await fetch(address(own.id, 'voice'))).arrayBuffer();
        const voice = new AudioBufferSourceNode(context, {buffer: await context.decodeAudioData(file)});
        voice.connect(recorder);
        voice.onended = () => { own.voiceEnds = own.next + own.numUnsent + context.sampleRate * LATENT; };
        voice.start();
    }
};

// Sound out
const keep = (own, {samples, time}) => {
    if (own.isOver || own.isPaused) return;
    const {sampleRate} = own.context;
    const first = own.next + own.numUnsent;
    own.marks.push([first + samples.length, time]);
    if (own.marks.length > 8000) own.marks.splice(0, 4000);
    const loudest = samples.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    if (loudest > 0.002) own.quietSince = time;
    if (own.source === 'microphone' && !own.isLost) {
        const isSilent = time - (own.quietSince || (own.quietSince = time)) > QUIET_FOR;
        if (isSilent) say(SILENT);
        else if (status.textContent === SILENT) say('Speak.');
    }
    own.unsent.push(Int16Array.from(samples, (each) => Math.max(-1, Math.min(1, each)) * 32767));
    own.numUnsent += samples.length;
    while (own.numUnsent > MOST_UNSENT * sampleRate && !own.sending) {
        const gone = own.unsent.shift().length;
        own.next += gone;
        own.numUnsent -= gone;
        own.leftOut += gone / sampleRate;
    }
    const step = sampleRate * LATENT;
    const isDue = Math.floor((first + samples.length) / step) > Math.floor(own.next / step);
    if (isDue) send(own);
};
const send = async (own) => {
    if (own.sending || own.isOver || !own.numUnsent) return;
    own.sending = true;
    const count = own.unsent.length;
    const parts = own.unsent.slice(0, count);
    const samples = new Int16Array(parts.reduce((sum, each) => sum + each.length, 0));
    parts.reduce((at, each) => { samples.set(each, at); return at + each.length; }, 0);
    const answer = await ask(own, `sound?start=${own.next}`, {method: 'POST', body: samples.buffer});
    own.sending = false;
    if (!answer) return setTimeout(() => send(own), 500);
    own.unsent.splice(0, count);
    own.numUnsent -= samples.length;
    own.next += samples.length;
    const told = await answer.json();
    if (told.over) end(own, told.over);
};

// One request; null where there was no answer, and the next one will tell whether that goes on.
const ask = async (own, path, options = {}) => {
    try {
        const answer = await fetch(address(own.id, path), {...options, signal: AbortSignal.timeout(10000)});
        if (answer.status >= 500) throw new Error(answer.statusText);
        if (!answer.ok) { end(own, (await answer.json()).detail); return null; }
        if (own.isLost) say('Connected again.');
        own.isLost = false;
        own.heardAt = performance.now();
        return answer;
    } catch {
        if (own.isOver) return null;
        if (!own.isLost) { own.losses++; own.isLost = true; say(LOST); figures(own); }
        if (performance.now() - own.heardAt > PATIENCE * 1000) end(own, 'The connection was lost for too long: press Speak live to begin again.');
        return null;
    }
};

// Pieces in
const receive = async (own) => {
    while (!own.isOver) {
        const answer = await ask(own, `piece?after=${own.last}`);
        if (!answer) { await new Promise((done) => setTimeout(done, 500)); continue; }
        if (answer.headers.get('content-type').startsWith('application/json')) {
            const told = await answer.json();
            if (told.over) end(own, told.over);
            continue;
        }
        const body = new Uint8Array(await answer.arrayBuffer());
        const line = body.indexOf(10);
        const head = JSON.parse(new TextDecoder().decode(body.subarray(0, line)));
        const samples = new Int16Array(body.slice(line + 1, line + 1 + 2 * head.samples).buffer);
        const strip = await createImageBitmap(new Blob([body.subarray(line + 1 + 2 * head.samples)], {type: 'image/jpeg'}));
        own.last = head.number;
        if (own.isOver) return strip.close();
        if (head.number < 0) await opened(own, head, strip);
        else schedule(own, head, Float32Array.from(samples, (each) => each / 32767), strip);
    }
};
const opened = async (own, head, strip) => {
    canvas.width = head.width;
    canvas.height = head.height;
    paint.drawImage(strip, 0, 0);
    part('notes').textContent = head.notes.join(' ');
    await record(own).catch((error) => end(own, `The voice cannot be played (${error.message}).`));
    say(own.source === 'microphone' ? 'Speak.' : 'The voice speaks.');
    requestAnimationFrame(() => draw(own));
};

// Frames that may be dropped to catch up: nobody speaks in them.
const kept = (own, head, samples, excess) => {
    const length = head.samples / head.frames;
    const loudness = Array.from({length: head.frames}, (_, frame) => {
        const heard = samples.subarray(Math.round(frame * length), Math.round((frame + 1) * length));
        return Math.sqrt(heard.reduce((sum, each) => sum + each * each, 0) / heard.length);
    });
    own.loudest = Math.max(own.loudest * 0.9, ...loudness);
    let drops = Math.floor(excess * head.fps);
    return loudness.map((_, frame) => frame).filter(
        (frame) => !(drops > 0 && loudness[frame] < Math.max(0.003, 0.08 * own.loudest) && drops--));
};
const schedule = (own, head, samples, strip) => {
    const {context} = own;
    const now = context.currentTime;
    if (!own.isAnchored || own.endsAt < now) {  // the first, or too late
        if (own.isAnchored) {
            own.underruns++;
            own.margin = Math.min(own.margin + MORE, MOST_MARGIN);
        }
        own.isAnchored = true;
        own.endsAt = now + own.margin;
        own.slacks = [];
    }
    own.slacks.push(own.endsAt - now);
    if (own.slacks.length > 5) own.slacks.shift();
    const excess = own.slacks.length < 5 ? 0 : Math.min(...own.slacks) - own.margin;
    const frames = excess > 1 / head.fps ? kept(own, head, samples, excess) : Array.from({length: head.frames}, (_, at) => at);
    const length = head.samples / head.frames;
    const played = new Float32Array(frames.length * Math.round(length));
    const cut = Math.round(length);
    frames.forEach((frame, at) => played.set(samples.subarray(Math.round(frame * length), Math.round(frame * length) + cut), at * cut));
    if (frames.length < head.frames) {
        own.caughtUp += (head.frames - frames.length) / head.fps;
        own.slacks = [];
    }
    const whole = frames.length < head.frames ? played : samples;
    const seconds = whole.length / head.rate;
    if (whole.length) {
        const buffer = new AudioBuffer({length: whole.length, sampleRate: head.rate});
        buffer.copyToChannel(whole, 0);
        const node = new AudioBufferSourceNode(context, {buffer});
        node.connect(own.gain);
        node.start(own.endsAt);
    }
    own.queue.push({from: own.endsAt, to: own.endsAt + seconds, frames, strip, head});
    own.endsAt += seconds;
    const mark = own.marks.find(([number]) => number >= head.end);
    if (mark) {
        own.delay = own.endsAt + (context.outputLatency || 0) - (mark[1] - (mark[0] - head.end) / context.sampleRate);
        own.most = Math.max(own.most, own.delay);
    }
    own.head = head;
    figures(own);
    pass(own);
};
const figures = (own) => {
    const head = own.head ?? {factor: 0, left_out: 0, seconds_left: 0};
    const left = Math.ceil(head.seconds_left);
    tell({
        delay: own.delay === undefined ? '–' : `${own.delay.toFixed(1)} s (at most ${own.most.toFixed(1)})`,
        factor: head.factor.toFixed(2),
        underruns: String(own.underruns),
        losses: String(own.losses),
        left_out: `${(own.leftOut + head.left_out).toFixed(1)} s`,
        caught_up: `${own.caughtUp.toFixed(1)} s`,
        time: `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`,
    });
    part('shown').dataset.pieces = String(own.last + 1);
};
// What is past goes, and the end is seen: with every piece too, for a hidden tab draws nothing. Returns what plays now.
const pass = (own) => {
    const now = own.context.currentTime - (own.context.outputLatency || 0);
    while (own.queue.length > 1 && own.queue[1].from <= now) own.queue.shift().strip.close();
    const piece = own.queue[0];
    if (!piece || piece.from > now) return {};
    const isSpoken = now >= piece.to - (piece.head.end - own.voiceEnds) / piece.head.rate;
    if (isSpoken && piece.head.end >= own.voiceEnds) end(own, 'The voice has spoken.');
    return {piece, now};
};
const draw = (own) => {
    if (own.isOver) return;
    const {piece, now} = pass(own);
    if (own.isOver) return;
    if (piece) {
        const at = Math.min(piece.frames.length - 1, Math.floor((now - piece.from) * piece.head.fps));
        const {width, height} = piece.head;
        if (own.drawn !== piece.strip || own.drawnAt !== at) {  // a canvas that is painted is put together anew
            paint.drawImage(piece.strip, 0, piece.frames[at] * height, width, height, 0, 0, width, height);
            [own.drawn, own.drawnAt] = [piece.strip, at];
        }
    }
    requestAnimationFrame(() => draw(own));
};

const halt = (own) => {
    if (own.id) navigator.sendBeacon(address(own.id, 'stop'), new Blob(['stop']));
};
const end = (own, words) => {
    own.stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });  // also one that came after Stop
    if (own.isOver && own !== session) return;
    own.isOver = true;
    halt(own);
    for (const piece of own.queue) piece.strip.close();
    own.queue = [];
    if (own.context.state !== 'closed') own.context.close();
    session = null;
    show(false);
    say(words);
};
const turn = () => {
    const own = session;
    if (!own?.recorder) return;
    own.isPaused = !own.isPaused;
    own.recorder.port.postMessage(!own.isPaused);
    own.isAnchored = false;  // what comes after a pause is not late
    own.quietSince = 0;
    pause.textContent = own.isPaused ? 'Go on' : 'Pause';
    pause.setAttribute('aria-pressed', String(own.isPaused));
    say(own.isPaused ? 'Paused.' : 'Speak.');
};

start.addEventListener('click', begin);
stop.addEventListener('click', () => { if (session) end(session, 'Stopped.'); });
pause.addEventListener('click', turn);
sound.addEventListener('change', () => { if (session?.gain) session.gain.gain.value = sound.checked ? 1 : 0; });
window.addEventListener('pagehide', () => { if (session) halt(session); });
watch('value', answered);
