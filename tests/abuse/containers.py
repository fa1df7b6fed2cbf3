"""What the bundled ffmpeg writes sound into, and with which codings: a table, held to the ffmpeg that is installed."""

from __future__ import annotations

import re
import subprocess
from functools import cache

from imageio_ffmpeg import get_ffmpeg_exe

_RIFF = (
    "pcm_s16le pcm_u8 pcm_s24le pcm_s32le pcm_s64le pcm_f32le pcm_f64le pcm_alaw pcm_mulaw adpcm_ima_wav adpcm_ms "
    "adpcm_swf adpcm_yamaha g722 g726 aac ac3 ac3_fixed dca dfpwm eac3 flac g723_1 libmp3lame libopencore_amrnb "
    "libtwolame libvorbis mp2 mp2fixed wmav1 wmav2"
)
_OGG = "libvorbis opus libopus flac"
_PROGRAM = "mp2 mp2fixed libtwolame libmp3lame ac3 ac3_fixed dca pcm_dvd pcm_s16be"
READ = {
    "3g2": "aac libopencore_amrnb",
    "3gp": "aac libopencore_amrnb",
    "ac3": "ac3 ac3_fixed",
    "adts": "aac",
    "aiff": "pcm_s16be adpcm_ima_qt adpcm_ima_ws pcm_alaw pcm_f32be pcm_f64be pcm_mulaw pcm_s16le pcm_s24be pcm_s32be "
    "pcm_s8 pcm_u8",
    "amr": "libopencore_amrnb",
    "asf": "wmav2 " + _RIFF.removesuffix(" wmav2"),
    "au": "pcm_s16be g722 g726le pcm_alaw pcm_f32be pcm_f64be pcm_mulaw pcm_s24be pcm_s32be pcm_s8",
    "avi": _RIFF,
    "caf": "pcm_s16le alac ac3 ac3_fixed adpcm_ima_qt adpcm_ima_wav adpcm_ms libopencore_amrnb flac mp2 mp2fixed "
    "libtwolame libmp3lame pcm_alaw pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s24be pcm_s24le "
    "pcm_s32be pcm_s32le pcm_s8",
    "dts": "dca",
    "dvd": _PROGRAM,
    "eac3": "eac3",
    "f4v": "aac libmp3lame",
    "flac": "flac",
    "flv": "aac ac3 ac3_fixed adpcm_swf eac3 flac libmp3lame nellymoser opus libopus pcm_alaw pcm_mulaw pcm_s16le "
    "pcm_u8",
    "ipod": "aac alac ac3 ac3_fixed",
    "ismv": "aac alac dca mp2 mp2fixed libtwolame libmp3lame pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_s16be "
    "pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le",
    "matroska": "libopus aac ac3 ac3_fixed g722 g726 adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha alac "
    "libopencore_amrnb dfpwm dca eac3 flac g723_1 mlp mp2 mp2fixed libtwolame libmp3lame opus pcm_alaw pcm_f32le "
    "pcm_f64le pcm_mulaw pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le pcm_s64le pcm_u8 real_144 truehd "
    "tta libvorbis vorbis wavpack wmav1 wmav2",
    "mov": "aac pcm_s16le ac3 ac3_fixed g722 g726 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha alac "
    "libopencore_amrnb dfpwm dca eac3 g723_1 mp2 mp2fixed libtwolame libmp3lame nellymoser pcm_alaw pcm_f32be "
    "pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s24be pcm_s24le pcm_s32be pcm_s32le pcm_s8 pcm_u8 wmav1 "
    "wmav2",
    "mp2": "mp2 mp2fixed libtwolame",
    "mp3": "libmp3lame",
    "mp4": "aac ac3 ac3_fixed alac dca eac3 flac mp2 mp2fixed libtwolame libmp3lame opus libopus pcm_f32be pcm_f32le "
    "pcm_f64be pcm_f64le pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le truehd",
    "mpeg": _PROGRAM,
    "mpegts": "aac ac3 ac3_fixed dca eac3 mp2 mp2fixed libtwolame libmp3lame opus libopus s302m truehd",
    "oga": _OGG,
    "ogg": _OGG + " vorbis",
    "ogv": _OGG,
    "opus": _OGG,
    "rm": "ac3 ac3_fixed aac real_144",
    "spx": _OGG,
    "svcd": _PROGRAM,
    "tta": "tta",
    "vcd": _PROGRAM,
    "vob": _PROGRAM,
    "voc": "pcm_u8 pcm_s16le pcm_alaw pcm_mulaw",
    "w64": _RIFF,
    "wav": _RIFF,
    "webm": "libopus opus libvorbis vorbis",
    "wv": "wavpack",
}
"""Muxers of ffmpeg whose files are read, and the encoders whose sound they take, its usual one first."""
REFUSED = {
    "adx": "adpcm_adx", "apm": "adpcm_ima_apm", "argo_asf": "adpcm_argo", "asf_stream": "wmav2",
    "ast": "pcm_s16be_planar", "avm2": "libmp3lame", "ircam": "pcm_s16le", "kvag": "adpcm_ima_ssi", "latm": "aac",
    "mlp": "mlp", "mmf": "adpcm_yamaha", "mxf_opatom": "pcm_s16le", "nut": "libmp3lame", "rso": "pcm_u8",
    "sbc": "sbc", "smjpeg": "pcm_s16le", "sox": "pcm_s32le", "spdif": "ac3", "swf": "libmp3lame",
    "truehd": "truehd", "wsaud": "adpcm_ima_ws", "wtv": "mp2", "gxf": "pcm_s16le",
}  # fmt: skip
"""Those whose files are not read, and one coding: for machines of old, games and studios."""
HEADERLESS = {
    "alaw": "pcm_alaw", "aptx": "aptx", "aptx_hd": "aptx_hd", "dfpwm": "dfpwm", "f32be": "pcm_f32be",
    "f32le": "pcm_f32le", "f64be": "pcm_f64be", "f64le": "pcm_f64le", "g722": "g722", "g723_1": "g723_1",
    "g726": "g726", "g726le": "g726le", "mulaw": "pcm_mulaw", "s16be": "pcm_s16be", "s16le": "pcm_s16le",
    "s24be": "pcm_s24be", "s24le": "pcm_s24le", "s32be": "pcm_s32be", "s32le": "pcm_s32le", "s8": "pcm_s8",
    "u16be": "pcm_u16be", "u16le": "pcm_u16le", "u24be": "pcm_u24be", "u24le": "pcm_u24le", "u32be": "pcm_u32be",
    "u32le": "pcm_u32le", "u8": "pcm_u8", "vidc": "pcm_vidc",
}  # fmt: skip
"""Bare samples: nobody can know what they are."""
NO_SOUND = (
    "a64 ac4 aea alp amv apng apv argo_cvg ass avif avs2 avs3 bit cavsvideo codec2 codec2raw data daud dirac dnxhd dv "
    "evc film_cpk filmstrip fits gif gsm h261 h263 h264 hevc iamf ico ilbc image2 image2pipe ivf jacosub lc3 lrc m4v "
    "mcc microdvd mjpeg mkvtimestamp_v2 mpeg1video mpeg2video mpjpeg mxf mxf_d10 obu oma pdv psp rawvideo rcwt "
    "roq scc srt sup ttml vc1 vc1test vvc webp webvtt yuv4mpegpipe"
)
"""Muxers that take pictures or texts, nothing without a picture, or sound for which this ffmpeg has no encoder."""
NO_FILE = (
    "chromaprint crc dash fbdev ffmetadata fifo framecrc framehash framemd5 hash hds hls md5 null oss pulse rtp "
    "rtp_mpegts rtsp sap segment smoothstreaming stream_segment ssegment streamhash tee uncodedframecrc video4linux2 "
    "v4l2 webm_chunk webm_dash_manifest whip xv"
)
"""Muxers that write lists of files, sums and streams over a network, or to a device."""
NO_VOICE = {
    "anull": "no sound",
    "comfortnoise": "noise without a voice",
    "roq_dpcm": "in films of a game only",
}
"""Encoders that are left out, and why."""
WRONG = {
    ("mov", "pcm_s64le"): "its header says 16 bits",
    ("flv", "pcm_s16be"): "its header has one name for both orders of the bytes",
}
"""Files that ffmpeg writes wrongly, and how."""
ONLY_IN_NUT = (
    "pcm_s16le_planar pcm_s24le_planar pcm_s32le_planar pcm_s8_planar pcm_s64be adpcm_ima_alp adpcm_ima_amv pcm_bluray "
    "pcm_s24daud"
)
"""Those of which no container above is the home."""


@cache
def encoders() -> frozenset[str]:
    """Encoders of sound that ffmpeg has."""
    return frozenset(re.findall(r"^ A[\w.]{5} (\w+) ", _told("-encoders"), re.MULTILINE))


@cache
def muxers() -> frozenset[str]:
    """Muxers that ffmpeg has."""
    names = re.findall(r"^  ?E.? ([\w,]+) |^ DE.? ([\w,]+) ", _told("-muxers"), re.MULTILINE)
    return frozenset(name for pair in names for listed in pair for name in listed.split(",") if name)


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    """Muxer and encoder."""
    return [(muxer, encoder) for muxer, codings in table.items() for encoder in codings.split()]


def _told(option: str) -> str:
    command = [get_ffmpeg_exe(), "-hide_banner", option]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
