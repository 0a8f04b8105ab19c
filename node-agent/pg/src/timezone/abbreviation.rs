//! The abbreviations of PostgreSQL's default set (`timezone_abbreviations = 'Default'`), in lower case.

/// What a zone abbreviation stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abbreviation {
    /// Always the same offset, in seconds east of UTC.
    Fixed {
        /// Seconds east of UTC.
        offset_s: i32,
        /// Whether it names a daylight-saving time.
        daylight: bool,
    },
    /// What the named zone meant by it around the time in question.
    InZone(&'static str),
}

/// Finds an abbreviation written in lower case. PostgreSQL looks at the first ten letters only.
pub(crate) fn find(word: &str) -> Option<Abbreviation> {
    let word = word.get(..10).unwrap_or(word);
    let among = |table: &[(i32, &str)]| {
        table
            .iter()
            .find(|(_, names)| names.split(' ').any(|name| name == word))
            .map(|(offset_s, _)| *offset_s)
    };
    if let Some(offset_s) = among(STANDARD) {
        return Some(Abbreviation::Fixed { offset_s, daylight: false });
    }
    if let Some(offset_s) = among(DAYLIGHT) {
        return Some(Abbreviation::Fixed { offset_s, daylight: true });
    }
    IN_ZONE
        .iter()
        .find(|(_, names)| names.split(' ').any(|name| name == word))
        .map(|(zone, _)| Abbreviation::InZone(zone))
}

const STANDARD: &[(i32, &str)] = &[
    (-36_000, "hst taht"),
    (-34_200, "mart"),
    (-32_400, "akst gamt"),
    (-28_800, "pst"),
    (-25_200, "mst"),
    (-21_600, "cst galt"),
    (-18_000, "act cot est pet"),
    (-14_400, "amt ast bot"),
    (-12_600, "nft nst"),
    (-10_800, "bra brt gft pmst uyt wgt"),
    (-7_200, "fnt"),
    (-3_600, "azot egt"),
    (0, "gmt uct ut utc wet z zulu"),
    (3_600, "cet met mez wat"),
    (7_200, "eet ist sast"),
    (10_800, "eat fet"),
    (12_600, "irt"),
    (14_400, "mut ret sct"),
    (16_200, "aft"),
    (18_000, "mvt pkt tft tjt uzt"),
    (20_700, "npt"),
    (21_600, "almt bdt btt xjt"),
    (23_400, "mmt"),
    (25_200, "cxt ict wast"),
    (28_800, "awst bnt bort cct hkt myt pht"),
    (31_500, "acwst"),
    (32_400, "jayt jst kst pwt"),
    (34_200, "acst cast"),
    (36_000, "aest chut ddut ligt mpt pgt trut yapt"),
    (37_800, "lhst"),
    (39_600, "pont vut"),
    (43_200, "fjt gilt mht nzst nzt tvt wakt wft"),
    (45_900, "chast"),
    (46_800, "tot"),
];

const DAYLIGHT: &[(i32, &str)] = &[
    (-28_800, "akdt"),
    (-25_200, "pdt"),
    (-21_600, "mdt"),
    (-18_000, "cdt"),
    (-14_400, "edt"),
    (-10_800, "adt clst pyst"),
    (-9_000, "ndt"),
    (-7_200, "brst pmdt uyst wgst"),
    (-3_600, "fnst"),
    (0, "azost egst"),
    (3_600, "bst wetdst"),
    (7_200, "bdst cest cetdst mest mesz metdst"),
    (10_800, "eest eetdst idt"),
    (14_400, "msd"),
    (18_000, "must"),
    (21_600, "kgst pkst uzst yekst"),
    (25_200, "almst"),
    (28_800, "wadt"),
    (32_400, "awsst ulast wdt"),
    (36_000, "kdt"),
    (37_800, "acdt acsst cadt sadt"),
    (39_600, "aedt aesst"),
    (46_800, "fjst nzdt"),
    (49_500, "chadt"),
];

const IN_ZONE: &[(&str, &str)] = &[
    ("America/Argentina/Buenos_Aires", "arst art"),
    ("America/Asuncion", "pyt"),
    ("America/Caracas", "vet"),
    ("America/Guyana", "gyt"),
    ("America/Santiago", "clt"),
    ("Antarctica/Davis", "davt"),
    ("Antarctica/Mawson", "mawt"),
    ("Asia/Anadyr", "anast anat"),
    ("Asia/Ashgabat", "tmt"),
    ("Asia/Baku", "azst azt"),
    ("Asia/Bishkek", "kgt"),
    ("Asia/Colombo", "lkt"),
    ("Asia/Irkutsk", "irkst irkt"),
    ("Asia/Kamchatka", "petst pett"),
    ("Asia/Krasnoyarsk", "krast krat"),
    ("Asia/Magadan", "magst magt"),
    ("Asia/Novosibirsk", "novst novt"),
    ("Asia/Omsk", "omsst omst"),
    ("Asia/Singapore", "sgt"),
    ("Asia/Tbilisi", "gest get"),
    ("Asia/Ulaanbaatar", "ulat"),
    ("Asia/Vladivostok", "vlast vlat"),
    ("Asia/Yakutsk", "yakst yakt"),
    ("Asia/Yekaterinburg", "yekt"),
    ("Asia/Yerevan", "amst"),
    ("Atlantic/Stanley", "fkst fkt"),
    ("Australia/Lord_Howe", "lhdt"),
    ("Europe/Moscow", "msk"),
    ("Europe/Volgograd", "volt"),
    ("Indian/Chagos", "iot"),
    ("Pacific/Easter", "easst east"),
    ("Pacific/Fakaofo", "tkt"),
    ("Pacific/Kiritimati", "lint"),
    ("Pacific/Kosrae", "kost"),
    ("Pacific/Niue", "nut"),
    ("Pacific/Rarotonga", "ckt"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_default_set() {
        assert_eq!(find("est"), Some(Abbreviation::Fixed { offset_s: -18_000, daylight: false }));
        assert_eq!(find("cest"), Some(Abbreviation::Fixed { offset_s: 7_200, daylight: true }));
        assert_eq!(find("zulu"), Some(Abbreviation::Fixed { offset_s: 0, daylight: false }));
        assert_eq!(find("msk"), Some(Abbreviation::InZone("Europe/Moscow")));
        assert_eq!(find("xyz"), None);
    }
}
