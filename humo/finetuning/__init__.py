"""Fine-tuning of real backbones by the paper's two stages, on `accelerate`: one GPU, several (DDP) or FSDP.

    python -m humo finetune --stage 1 --from Wan2.1-T2V-1.3B-Diffusers --data prepared --out runs/subject
    python -m humo finetune --stage 2 --from runs/subject --data prepared --out runs/sync
    accelerate launch --num_processes 8 -m humo finetune ...                                  several GPUs
    accelerate launch --num_processes 8 --use_fsdp --fsdp_version 2 -m humo finetune ...      split over them

The same command goes on where a run stopped. `accelerate launch` takes the machines too (--num_machines,
--machine_rank, --main_process_ip); `--out` then lies on a disk that all of them see. Without GPUs it starts one process
only: several come by `torchrun --nproc_per_node 2 -m humo finetune --cpu ...`. `tensorboard --logdir OUT/logs` shows
the log. Mini's own training, from nothing, is in `humo.training`, of which it
may import the stages and the loop's tools, besides what stands below both.

| module | what it holds |
|---|---|
| `settings` | every value, with its source or marked ours |
| `objective` | what chance decides of a batch, the input, the two losses |
| `source` | where the weights begin: Wan, a HuMo folder or preset, stage 1 |
| `model` | what learns and what is frozen, LoRA, the optimiser |
| `sharding` | tensors that are split over processes, gathered one at a time |
| `checkpoint` | states to go on from, written whole or not at all |
| `export` | the finished folder |
| `loop` | the training |
| `command` | the command line |

Source: HuMo sec. 3.2 and 3.3 (arXiv 2509.08519). The released project has no training code.
"""
