"""From a prompt, pictures and a sound to a video: encode, denoise, decode.

Leave the picture out and it is text-to-video with sound (TA), the sound and it is TI, both and it is T. What
is absent is replaced by its null, as in training. All sizes of HuMo run through this class; what differs is
in the configs of its components and in its own.

The path, point by point, beside the released code:
- Text: HTML entities resolved and white space collapsed (the release also mends broken Unicode with ftfy); umT5, 512
  tokens, zeros after the last one; the negative prompt stands in wherever a branch shows no text.
- Picture: turned as its EXIF says (ours), fitted on white with Lanczos, encoded alone as one frame, the posterior's
  mode normalised; null: zeros (1.7B) or the black video's latents (17B), which are computed for any size.
- Sound: mono at 16 kHz, Whisper in chunks of 30 s, 33 states in 5 bands, 50 to 25 Hz, windows of 8, zeros on
  references. The release first separates the voice from music with one more network; here the sound is heard as it is.
- Noise: drawn on the CPU (ours, `humo.requests.noise`), so a seed means the same on every device, but not as in the
  release.
- Solver: UniPC with the released noise levels (`humo.sampling.set_timesteps`); latents stay in float32.

Source: HuMo released code (`generate.py::inference`), which refuses TI; here it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, UniPCMultistepScheduler
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, WhisperFeatureExtractor

from humo.dubbing.dub import dub
from humo.focus import FaceMaskPredictor, MaskKeeper, check_masks
from humo.guidance import Rule
from humo.layers.autoencoder import HuMoVideoCodec
from humo.layers.decoding import DecodingMemoryError, OnFrames, decode_frames
from humo.layers.loras import LoraLoader
from humo.media import Sound
from humo.references import decode_latents, to_frames
from humo.requests.call import Call, HuMoPipelineOutput, Picture, call_each, made_by, model_name, read_call
from humo.requests.checks import Request, choose_window, size_multiple
from humo.requests.continuing import KnownArguments, tell_new
from humo.requests.encoding import encode_known, encode_pictures, encode_sound, encode_text, encode_texts
from humo.requests.noise import draw_video_noise
from humo.requests.prompt_cache import PromptCache
from humo.sampling import Conditions, StepState, denoise, join_conditions
from humo.timing import FRAMES_PER_LATENT
from humo.transformer import HuMoTransformer3DModel


class HuMoPipeline(LoraLoader, DiffusionPipeline):
    """HuMo in one call.

    Args:
        tokenizer: of the text encoder.
        text_encoder: UMT5 encoder.
        feature_extractor: log-mel front end of the audio encoder.
        audio_encoder: `humo.audio.AudioEncoder`.
        transformer: the velocity network.
        vae: the published or our own video codec.
        scheduler: from `humo.sampling.make_scheduler`.
        focus_head: predicts face masks; only needed to show them.
        max_sequence_length: text tokens, padded with zeros.
        default_height: pixels.
        default_width: pixels.
        default_num_frames: video frames where neither the call nor a sound names them.
        default_num_inference_steps: steps.
        default_guidance: a rule as plain data (`humo.guidance.make_rule`).
        default_negative_prompt: shown in place of the prompt in branches without text.
        supported_sizes: the only (height, width) pairs allowed; None allows every multiple of the patch.
        max_trained_frames: longer videos are made of overlapping windows of this many frames (ours); None
            makes every video at once.
        max_frames: longest video allowed; None for no limit.
        max_references: most pictures allowed; None for no limit.
        batch_branches: run the branches of a step as one batch: faster for a small model.
        black_level: pixel value of the null video of the 17B form (`humo.references.encode_black_video`).
        draws_photographs: whether photographs are drawn first, for a model of drawn people (`humo.portrait`; ours).
        rewords_prompts: whether prompts are put into the words of a model of drawn people (`humo.wording`; ours).
        heard_level: dBFS to which the voice is brought before the model hears it (`humo.media.loudness`); None leaves
        it.
    """

    model_cpu_offload_seq = "audio_encoder->text_encoder->transformer->vae"  # in the order of use
    prompt_cache: PromptCache | None = None
    fast_form: HuMoPipeline | None = None
    """The same model distilled (`humo.loading.fast_form`), where somebody has put it here."""
    _optional_components = ["focus_head"]
    config: Any  # diffusers' FrozenDict: its entries are attributes too

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: PreTrainedModel,
        feature_extractor: WhisperFeatureExtractor,
        audio_encoder: PreTrainedModel,
        transformer: HuMoTransformer3DModel,
        vae: AutoencoderKLWan | HuMoVideoCodec,
        scheduler: UniPCMultistepScheduler,
        focus_head: FaceMaskPredictor | None = None,
        max_sequence_length: int = 512,
        default_height: int = 480,
        default_width: int = 832,
        default_num_frames: int = 97,
        default_num_inference_steps: int = 50,
        default_guidance: dict[str, Any] | None = None,
        default_negative_prompt: str = "",
        supported_sizes: list[list[int]] | None = None,
        max_trained_frames: int | None = None,
        max_frames: int | None = None,
        max_references: int | None = None,
        batch_branches: bool = False,
        black_level: float = -1.0,
        draws_photographs: bool = False,
        rewords_prompts: bool = False,
        heard_level: float | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            feature_extractor=feature_extractor,
            audio_encoder=audio_encoder,
            transformer=transformer,
            vae=vae,
            scheduler=scheduler,
            focus_head=focus_head,
        )
        self.register_to_config(
            max_sequence_length=max_sequence_length,
            default_height=default_height,
            default_width=default_width,
            default_num_frames=default_num_frames,
            default_num_inference_steps=default_num_inference_steps,
            default_guidance=default_guidance or {"rule": "published_17b"},
            default_negative_prompt=default_negative_prompt,
            supported_sizes=supported_sizes,
            max_trained_frames=max_trained_frames,
            max_frames=max_frames,
            max_references=max_references,
            batch_branches=batch_branches,
            black_level=black_level,
            draws_photographs=draws_photographs,
            rewords_prompts=rewords_prompts,
            heard_level=heard_level,
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        image: Picture | Sequence[Picture] | None = None,
        audio: str | Path | tuple[np.ndarray, int] | Sound | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance: Rule | Mapping[str, Any] | None = None,
        seed: int | None = None,
        on_step: Callable[[StepState], None] | None = None,
        return_masks: bool = False,
        on_frames: OnFrames | None = None,
        as_is: bool = False,
        audio_shift: int = 0,
        **known: Unpack[KnownArguments],
    ) -> HuMoPipelineOutput:
        """Make a video.

        Args:
            prompt: what to see, 1 to 2,000 characters.
            negative_prompt: what not to see; default from the config.
            image: one or several pictures of people or things; None for TA or T.
            audio: a sound file, or (samples in [-1, 1], Hz); None for TI or T.
            num_frames: video frames at 25 a second, 4k + 1; default from the sound, else from the config.
            height: pixels; default from the config.
            width: pixels; default from the config.
            num_inference_steps: steps of the solver; default from the config.
            guidance: a rule of `humo.guidance`, or its plain data; default from the config.
            seed: 0 to 2**63 - 1; drawn and reported if None.
            on_step: called after every step; raise `humo.StopGeneration` in it to stop.
            return_masks: also return where the network expects the face.
            on_frames: told each stretch of frames as soon as it is decoded, uint8 (f, height, width, 3).
            as_is: show a photograph as it is to a model of drawn people, which draws it otherwise.
            audio_shift: -200 to 200 ms by which the mouth moves later than the sound is played, earlier below 0.
            **known: what stays as it is: `continue_from` with its `overlap`, `first_frame` or `known`
                (`humo.requests.continuing.KnownArguments`).

        Returns:
            The video.

        Raises:
            ValueError: if an input is not allowed; the sentence says what to do.
            StopGeneration: if `on_step` raised it.
            DecodingMemoryError: if the memory is too small to decode; it has the latents (`humo.layers.decoding`).
        """
        given = (prompt, negative_prompt, image, audio, num_frames, height, width, num_inference_steps, guidance, seed)
        call = read_call(self, *given, as_is, audio_shift, **known)
        if return_masks:
            check_masks("return_masks", self.focus_head, self.transformer)
        masks = MaskKeeper(self.focus_head) if return_masks else None
        output = self.generate_batch([call], call_each(masks, on_step), on_frames and [on_frames])[0]
        return output if masks is None else replace(output, masks=masks.best)

    def dub(self, clip: str | Path | np.ndarray, audio: Any, **options: Any) -> HuMoPipelineOutput:
        """Give a clip another voice; everything outside of the speaker's mouth stays (`humo.dubbing.dub`, ours)."""
        return dub(self, clip, audio, **options)

    @torch.no_grad()
    def generate_batch(
        self,
        calls: Sequence[Call],
        on_step: Callable[[StepState], None] | None = None,
        on_frames: Sequence[OnFrames] | None = None,
    ) -> list[HuMoPipelineOutput]:
        """Make several videos of equal shape as one batch, for throughput; each is what it would be alone.

        What a batch gains depends on the device (`python -m humo benchmark --report`). Ours.

        Args:
            calls: one or more from `humo.requests.call.read_call`, with equal `Call.shape`.
            on_step: called after every step with all of them; raise `humo.StopGeneration` in it to stop.
            on_frames: of each call, as in `__call__`.

        Returns:
            A video a call, in order.

        Raises:
            ValueError: if their shapes differ.
            StopGeneration: if `on_step` raised it.
            DecodingMemoryError: if the memory is too small to decode; it has the latents (`humo.layers.decoding`).
        """
        request, rule = calls[0].request, calls[0].rule
        if any(call.shape != calls[0].shape for call in calls):
            raise ValueError(
                "these calls differ in size, length, steps, guidance or in what they are given: make each on its own."
            )
        try:
            # 1. Encode what was given
            conditions = join_conditions([self._encode_call(call) for call in calls])
            noise = torch.cat([draw_video_noise(self, call.request, conditions.num_references) for call in calls])
            noise = noise.to(conditions.text.device)
            self.maybe_free_model_hooks()  # under model offload only a next encoder would send one away; it may not run

            # 2. Denoise
            latents = denoise(
                self.transformer,
                self.scheduler,
                rule,
                conditions,
                noise,
                request.num_inference_steps,
                on_step=on_step,
                batch_branches=self.config.batch_branches,
                window=choose_window(request.num_frames, self.config, [call.notes for call in calls]),
            )

            # 3. Decode
            tells: Sequence[OnFrames | None] = on_frames or [None] * len(calls)
            videos = [
                decode_frames(one[None], self.vae, tell_new(tell, call.overlap))
                for one, tell, call in zip(latents, tells, calls, strict=True)
            ]
        except DecodingMemoryError as error:
            error.latents = latents.cpu()  # those of all calls
            raise
        finally:
            self.maybe_free_model_hooks()  # also when stopped: nothing stays on the GPU
        settings = made_by(self.model_name, self.transformer)
        if loras := self.active_loras():
            settings["loras"] = loras
        made = zip(calls, videos, latents.cpu().numpy(), strict=True)
        return [call.output(frames, one, settings) for call, frames, one in made]

    @property
    def model_name(self) -> str:
        """Name of the folder the model came from, never the whole path: settings travel with a video."""
        return model_name(self.name_or_path, self.transformer)

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return size_multiple(self)

    def encode_prompt(self, prompt: str, notes: list[str] | None = None, device: torch.device | None = None) -> Tensor:
        """Encode a prompt.

        Args:
            prompt: the text; HTML entities are resolved and white space is collapsed.
            notes: told if the prompt has more tokens than the model reads.
            device: where to compute; default where the pipeline computes, which it takes a while to find out.

        Returns:
            Features padded with zeros, (1, max_sequence_length, c).
        """
        return encode_text(self, prompt, notes, device)

    def encode_conditions(
        self,
        request: Request,
        pictures: Sequence[Image.Image],
        waveform: np.ndarray | None,
        notes: list[str] | None = None,
    ) -> Conditions:
        """Encode text, pictures and sound, with nulls where there are none.

        Args:
            request: what is asked for.
            pictures: references, possibly none; at least one slot is kept for them, as released.
            waveform: mono, 16 kHz, as long as the video, (samples,); None without sound.
            notes: told what was decided.

        Returns:
            Conditions for `humo.sampling.denoise`, batch size 1.
        """
        device, num_frames = self._execution_device, request.num_frames
        size = request.height, request.width
        references, num_references, black_video = encode_pictures(self, pictures, num_frames, size, device)
        audio = encode_sound(self, waveform, num_frames, num_references, device)
        negative_prompt = None if self.transformer.config.guidance_embeds else request.negative_prompt
        text = encode_texts(self, request.prompt, negative_prompt, notes, device)
        return Conditions(*text, audio, references, num_references, black_video)

    @torch.no_grad()
    def preview(self, clean_latents: Tensor) -> Image.Image:
        """Decode the middle frame of predicted clean latents, cheaply.

        The frame is decoded from its latent frame and the two beside it alone, so it is a sketch of what the
        whole video will show.

        Args:
            clean_latents: `StepState.clean`, (1, z, video frames, h, w).

        Returns:
            RGB picture of the video's size.
        """
        middle = clean_latents.shape[2] // 2
        start = max(0, middle - 1)
        seen = clean_latents[:1, :, start : middle + 2]
        shown = (middle - start) * FRAMES_PER_LATENT
        return Image.fromarray(to_frames(decode_latents(seen, self.vae, frames=[shown])[0])[0])

    def _encode_call(self, call: Call) -> Conditions:
        conditions = self.encode_conditions(call.read_request, call.pictures, call.heard, call.notes)
        known = encode_known(self, call.known, call.request.num_frames, self._execution_device)
        return conditions if known is None else replace(conditions, known=known)
