# %% [markdown]
# # DLRM on Criteo's click log
#
# From the text of the log to a table of test AUCs: full tables, ROBE, and
# `auto`, which chooses the rows by the counts of the ids.
#
# Give the path of `train.txt` (Criteo Kaggle), or those of files such as
# `day_0.gz` (Criteo Terabyte) in order; without one, rows of the same format
# are generated, whose best possible AUC is known.
#
# - Install, in a clone: `pip install '.[tensorflow-cpu]'`, and for the kernels
#   `keras-pss build-ops`
# - Run: `python examples/criteo_dlrm.py`, about 30 seconds of CPU time, or
#   `python examples/criteo_dlrm.py train.txt --batch-size 4096`
#
# ```text
# best possible AUC 0.7995
# 84,111 ids in 26 tables
# tables            parameters  test AUC
# full 1x            1,345,776    0.6740
# robe 10x             134,577    0.6704
# auto 10x             134,577    0.6774
# auto 100x             13,457    0.6703
# ```

# %%
import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_pss
from keras_pss.data import criteo, synthetic
from keras_pss.metrics import Metrics

parser = argparse.ArgumentParser()
parser.add_argument("logs", nargs="*", type=Path, help="files of Criteo's")
parser.add_argument("--rows", type=int, default=100_000)
parser.add_argument("--batch-size", type=int, default=1024)
parser.add_argument("--out", type=Path, default=Path("out/criteo_dlrm"))
options = parser.parse_args([] if "ipykernel" in sys.modules else None)

# %% [markdown]
# ## Prepare
#
# Texts become ids by decreasing count, broken rows are set aside, and the last
# seventh of the rows is for testing. The folder is made once.

# %%
options.out.mkdir(parents=True, exist_ok=True)
logs = options.logs
if not logs:
    logs = [options.out / f"clicks_{options.rows}.tsv"]
    made = synthetic.generate(logs[0], rows=options.rows, overwrite=True)
    print(f"best possible AUC {made.bayes_auc:.4f}")
folder = options.out / f"data_{len(logs)}_{logs[0].stem}"
data = criteo.load(folder) if folder.exists() else criteo.prepare(logs, folder)
print(f"{sum(data.tables.values()):,} ids in {len(data.tables)} tables")

# %% [markdown]
# ## Train and compare
#
# One epoch, as click models overfit in the second.

# %%
aucs = {}
print(f"{'tables':16}{'parameters':>12}{'test AUC':>10}")
for method, budget in [
    ("full", "1x"),
    ("robe", "10x"),
    ("auto", "10x"),
    ("auto", "100x"),
]:
    keras.utils.set_random_seed(0)
    tables = keras_pss.EmbeddingCollection.for_log(data, 16, method, budget)
    model = keras_pss.models.DLRM(tables)
    model.compile("adam", "binary_crossentropy")
    train = criteo.dataset(data, "train", batch_size=options.batch_size)
    model.fit(train, shuffle=False, verbose=0)  # the rows come shuffled
    test = criteo.dataset(data, "test", batch_size=16_384)
    labels = np.concatenate([label for _, label in test])
    scores = model.predict(test, verbose=0)
    name = f"{method} {budget}"
    aucs[name] = Metrics.of(labels, scores).auc
    print(f"{name:16}{tables.count_params():>12,}{aucs[name]:>10.4f}")
